"""What an evaluation prints."""

from rayrl.evaluation.result import join_categories
from rayrl.evaluation.table import results_table
from tests.evaluation.results import result_of


def test_a_line_for_each_category_then_all_levels_and_all_categories_alike():
    # 1 of 2 and 4 of 4 succeed: 5/6 of all levels, (1/2 + 1) / 2 over categories.
    found = join_categories(
        {
            "easy": result_of([1.0, 0.0], episode_success=[1, 0]),
            "hard": result_of([1.0] * 4, episode_success=[1, 1, 1, 1]),
        }
    )
    _, heads, *lines = results_table(found).splitlines()
    assert heads.split()[:2] == ["episodes", "success_rate"]
    cells = [line.split()[:3] for line in lines]
    assert cells == [
        ["easy", "2", "0.5"],
        ["hard", "4", "1"],
        ["micro", "6", "0.8333"],
        ["macro", "6", "0.75"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_of_one_category_the_summary_stands_before_it():
    text = results_table(result_of([2.0, 4.0], episode_success=[1, 1]))
    summary, solved = text.split("\n\n")
    assert summary.splitlines()[2].split()[:2] == ["episode_return", "3"]
    assert solved.splitlines()[1].split()[:3] == ["as_trained", "2", "1"]
    assert "\n\n" not in results_table(result_of([2.0, 4.0]))
