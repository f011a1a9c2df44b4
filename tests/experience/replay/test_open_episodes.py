"""Open episodes are found as a dictionary would find them, whatever was opened and closed before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rayrl.experience.replay.open_episodes import OpenEpisodes, find

EPISODES = np.array([[high, low] for high in (0, 2**63) for low in range(60)], np.uint64)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 119), st.integers(0, 200), st.integers(0, 9)),
            st.lists(st.integers(0, 200), min_size=1, max_size=5, unique=True),
        ),
        max_size=150,
    )
)
def test_what_is_opened_and_closed_is_found_as_in_a_dictionary(
    steps: list[tuple[int, int, int] | list[int]],
) -> None:
    of, expected = OpenEpisodes(), dict[int, tuple[int, int]]()
    for step in steps:
        if isinstance(step, list):
            of.close(np.array(step, np.int32))
            expected = {episode: found for episode, found in expected.items() if found[0] not in step}
            continue
        number, trajectory, due = step
        of.open(EPISODES[number], trajectory, due)
        # An episode goes on as one trajectory, and a trajectory as one episode.
        expected = {episode: found for episode, found in expected.items() if found[0] != trajectory}
        expected[number] = trajectory, due
    assert len(of) == len(expected)
    for number, (high, low) in enumerate(EPISODES):
        at = find(of.slots, high, low)
        assert (at >= 0) == (number in expected)
        if at >= 0:
            slot = of.slots[at]
            assert (slot["trajectory"], slot["due"]) == expected[number]
            assert of.slot_of[slot["trajectory"]] == at
