"""The verdict in words: is warm better than cold, did training beat the heuristics, what to be wary of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.evaluation.result import RETURN
from rayrl.evaluation.statistics import ENOUGH_RUNS, Estimate
from rayrl.report.html import Html, element, join
from rayrl.report.outcomes import Kind, Outcome, Outcomes, at_beginning, outcomes_of
from rayrl.report.run_data import COLD, FREE, INEXACT, RANDOM, WARM, RunData
from rayrl.report.sections import runs_compared
from rayrl.report.sections.categories import categories_sentences
from rayrl.report.sections.registry import Block, Section
from rayrl.report.sections.target import target_sentences
from rayrl.report.steps_to_target import steps_to_target, target_of
from rayrl.report.text import capitalized, count, interval, listed, mean, number, signed
from rayrl.report.warm_start import WarmStart, warm_starts
from rayrl.rollout.options import UNNAMED

ENOUGH_EPISODES = 20
"""Below this, an interval over episodes says little."""

_WARM_START = {
    (1, 1): "the warm start paid off.",
    (1, 0): "the warm start paid off.",
    (1, -1): "the warm start learned slower, but ended better.",
    (0, 1): "the warm start learned faster; at the end no difference is shown.",
    (0, 0): "no difference between warm and cold is shown.",
    (0, -1): "the warm start learned slower; at the end no difference is shown.",
    (-1, 1): "the warm start learned faster, but ended worse.",
    (-1, 0): "the warm start did harm.",
    (-1, -1): "the warm start did harm.",
    (None, 1): "the warm start is ahead so far.",
    (None, 0): "no difference between warm and cold is shown so far.",
    (None, -1): "the warm start is behind so far.",
}
"""By the signs of the differences at the end, where it is known, and over the whole of training."""


def build(run: RunData) -> Sequence[Block]:
    """One paragraph for each question, and the caveats."""
    outcomes = outcomes_of(run)
    findings = [
        *(warm_start_finding(run, comparison) for comparison in warm_starts(run)),
        *target_findings(run),
        *heuristics_findings(outcomes),
        *categories_findings(run),
        *cloning_findings(run, outcomes),
    ]
    if not findings:
        findings = [_finding("Nothing to compare yet.", "No policy of this run has been evaluated.")]
    wary = list(caveats(run, outcomes))
    parts = [element("div", *findings, class_="findings"), _glossary(run)]
    if wary:
        items = [element("li", caveat) for caveat in wary]
        parts.append(
            element("div", element("h3", "Before you rely on this"), element("ul", *items), class_="wary")
        )
    return parts


def warm_start_finding(run: RunData, comparison: WarmStart) -> Html:
    """Whether the warm start paid off, and by how much at equal steps."""
    final, throughout = comparison.final, comparison.throughout
    several = len(run.experiment.architectures) > 1
    prefix = f"{comparison.architecture}: " if several else ""
    if final.value is None and throughout.value is None:
        return _finding(
            _headed(prefix, "warm against cold cannot be told yet."), "No pair of trials has results."
        )
    verdict = _WARM_START[final.sign if final.value is not None else None, throughout.sign]
    if max(final.n, throughout.n) == 1:
        verdict = "one seed cannot tell warm from cold."
    sentences = []
    if final.value is not None and comparison.step is not None:
        sentences.append(
            f"After {comparison.step:,} steps, warm-started policies return {_more(final)} per episode "
            f"than cold ones of the same seed ({_sureness(final)}); they are ahead in {comparison.better} "
            f"of {count(final.n, 'seed')}."
        )
    if throughout.value is not None:
        sentences.append(
            f"While training, at equal steps, warm-started trials returned {_more(throughout)} "
            f"({_sureness(throughout)})."
        )
    return _finding(_headed(prefix, verdict), " ".join(sentences))


def _headed(prefix: str, head: str) -> str:
    """A heading, after the architecture that it is of where there are several."""
    return prefix + head if prefix else capitalized(head)


def target_findings(run: RunData) -> Iterator[Html]:
    """How many steps the warm start saves until training returns what is wanted."""
    target = target_of(run)
    if target is None:
        return
    for comparison in steps_to_target(run, target):
        if comparison.seeds and comparison.condition == WARM:
            head, numbers = target_sentences(run, comparison, target)
            several = len(run.experiment.architectures) > 1
            prefix = f"{comparison.architecture}: " if several else ""
            yield _finding(_headed(prefix, head), numbers)


def categories_findings(run: RunData) -> Iterator[Html]:
    """How trained policies fare in the other categories."""
    if sentences := categories_sentences(run):
        yield _finding(*sentences)


def heuristics_findings(outcomes: Outcomes) -> Iterator[Html]:
    """Which demonstrators each trained condition beats, in pairs of the same episodes.

    Acting at random is a rival only where there is no other.
    """
    programs = outcomes.of(Kind.demonstrator)
    rivals = [row for row in programs if row.label != RANDOM] or programs
    rivals.sort(key=lambda row: -row.values(RETURN).mean())
    for trained in outcomes.of(Kind.trained):
        label = at_beginning(trained.label)
        if not rivals:
            estimate = trained.mean(RETURN)
            head = f"{label} policies return {mean(estimate)} per episode."
            yield _finding(head, f"{capitalized(_sureness(estimate))}. There is nothing to compare with.")
            continue
        by_sign: dict[int, list[str]] = {1: [], 0: [], -1: []}
        for rival in rivals:
            difference = trained.difference(rival, RETURN)
            by_sign[difference.sign].append(f"{rival.label} ({signed(difference)}; {interval(difference)})")
        clauses = [
            f"{verb} {listed(by_sign[sign])}"
            for sign, verb in ((1, "They beat"), (0, "They cannot be told apart from"), (-1, "They lose to"))
            if by_sign[sign]
        ]
        head = f"{label} policies {_beat(len(by_sign[1]), rivals)}."
        yield _finding(head, " ".join([f"{'. '.join(clauses)}.", *_scale(outcomes, trained)]))


def cloning_findings(run: RunData, outcomes: Outcomes) -> Iterator[Html]:
    """How much of their demonstrators cloned policies have, before training."""
    mixed = outcomes.mixed_score(run.teachers)
    for cloned in outcomes.of(Kind.cloned):
        score = outcomes.score(cloned)
        if score is None or score.value is None or mixed is None or mixed <= 0:
            continue
        share = f"{100 * score.value / mixed:.0f} %"
        in_replays = run.experiment.collect.replays is not None
        teachers = "the demonstrators whom the replays name" if in_replays else "their demonstrators"
        yield _finding(
            f"{at_beginning(cloned.label)} policies have {share} of their teachers' score.",
            f"Before their first step of training they score {mean(score)} ({_sureness(score)}), "
            f"{teachers} {number(mixed)}, weighted by share.",
        )


def caveats(run: RunData, outcomes: Outcomes) -> Iterator[str]:
    """Reasons to believe the numbers less than they look."""
    seeds = len(run.experiment.seeds)
    if seeds < ENOUGH_RUNS and outcomes.of(Kind.trained):
        yield (
            f"{capitalized(count(seeds, 'training seed'))} per condition: another run may turn out "
            f"differently. At least {ENOUGH_RUNS} make the intervals over seeds worth something."
        )
    unfinished = [trial for trial in run.trials if trial.state is None or trial.state.state != "finished"]
    if unfinished:
        yield f"{len(unfinished)} of {count(len(run.trials), 'trial')} did not finish."
    inexact = [trial for trial in run.trials if trial.state is not None and not trial.state.exact]
    if inexact:
        yield f"{count(len(inexact), 'trial')} cannot be repeated exactly: {INEXACT}."
    episodes = {len(row.results[0].seeds) for row in outcomes.rows}
    if episodes and min(episodes) < ENOUGH_EPISODES:
        few = count(min(episodes), "episode")
        yield f"Each policy played only {few}; intervals over so few are too narrow."
    if outcomes.unpaired:
        others = listed([row.label for row in outcomes.unpaired])
        yield f"Evaluated on other episodes, and so left out: {others}."


def _glossary(run: RunData) -> Html:
    """What the conditions are called here and in the experiment file."""
    sentences = []
    if COLD in run.experiment.conditions:
        sentences.append(f"Cold policies ({COLD}) start from scratch.")
    if WARM in run.experiment.conditions:
        sentences.append(f"Warm ones ({WARM}) start from a policy that was {_made_from(run)}.")
    if FREE in run.experiment.conditions:
        sentences.append(f"Warm ones without KL ({FREE}) start from it and are not held to it by kl_ref.")
    return element("p", " ".join(sentences), class_="note")


def _made_from(run: RunData) -> str:
    """Where the policy comes from that warm trials start from."""
    teachers = sorted(set(run.teachers) - {UNNAMED})
    if run.experiment.collect.replays is not None:
        return f"cloned from replays of {listed(teachers)}" if teachers else "cloned from replays"
    return f"cloned from {listed(teachers)}" if teachers else "given"


def _scale(outcomes: Outcomes, outcome: Outcome) -> list[str]:
    score, reference = outcomes.score(outcome), outcomes.reference
    if score is None or reference is None:
        return []
    return [f"Their score is {mean(score)}, where random actions score 0 and {reference.label} 1."]


def _more(estimate: Estimate) -> str:
    return f"{mean(estimate).removeprefix('−')} {'more' if (estimate.value or 0.0) >= 0 else 'less'}"


def _sureness(estimate: Estimate) -> str:
    if estimate.low is None:
        return "a single seed, so no interval" if estimate.n == 1 else "no interval"
    return f"95 % interval {interval(estimate)}"


def _beat(some: int, rivals: Sequence[Outcome]) -> str:
    if len(rivals) == 1:
        return f"beat {rivals[0].label}" if some else f"do not beat {rivals[0].label}"
    quantity = {0: "none", len(rivals): "all"}.get(some, str(some))
    return f"beat {quantity} of the {len(rivals)} heuristics"


def _finding(head: str, body: str) -> Html:
    return element("p", join([element("strong", head), " ", body]))


SECTION = Section("verdict", "What came out", 10, lambda run: True, build, runs_compared.compare)
