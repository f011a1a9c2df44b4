"""Behaviour cloning: loss and agreement by epoch, and what it reached beside what it could."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from rayrl.report.curves import mean_curve
from rayrl.report.figures.chart import Level, Line, LineChart
from rayrl.report.html import Html, table
from rayrl.report.run_data import Pretraining, RunData
from rayrl.report.sections.demonstrations import agreement_table
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import number, percent

_SPLITS = (("train", "training split"), ("val", "held-out split"))


def build(run: RunData) -> Sequence[Block]:
    """Per architecture the charts of accuracy and loss, then tables of all seeds and of each demonstrator."""
    blocks: list[Block] = []
    several = len(run.experiment.architectures) > 1
    for architecture in run.experiment.architectures:
        group = [p for p in run.pretraining if p.architecture == architecture]
        charts = _charts(group, architecture if several else None)
        blocks += [chart for chart in charts if chart.lines]
    blocks.append(_agreement(run))
    if (by_demonstrator := agreement_table(run)) is not None:
        blocks.append(by_demonstrator)
    return blocks


def _charts(group: Sequence[Pretraining], architecture: str | None) -> Iterator[LineChart]:
    """Accuracy and loss; the architecture is named where there are several."""
    ceilings = [p.summary.ceiling_accuracy for p in group if p.summary and p.summary.ceiling_accuracy]
    ceiling = [Level("the same fit on all data", float(np.mean(ceilings)))] if ceilings else []
    suffix = f", {architecture}" if architecture else ""
    tail = re.sub(r"[^A-Za-z0-9.-]", "_", f"_{architecture}") if architecture else ""
    yield LineChart(
        name=f"cloning_accuracy{tail}",
        title=f"Agreement with the demonstrators{suffix}",
        description="Share of decisions in which clone and demonstrator take the same action, by epoch.",
        x_label="Epoch",
        y_label="Share of decisions that agree",
        lines=_lines(group, "accuracy"),
        levels=ceiling,
        percent=True,
    )
    yield LineChart(
        name=f"cloning_loss{tail}",
        title=f"Cloning loss{suffix}",
        description="Negative log-likelihood of the demonstrators' actions, by epoch.",
        x_label="Epoch",
        y_label="Negative log-likelihood",
        lines=_lines(group, "loss"),
    )


def _lines(group: Sequence[Pretraining], quantity: str) -> list[Line]:
    faint, bold = [], []
    for style, (split, label) in enumerate(_SPLITS):
        curves = {p.seed: p.curve.known("epoch", f"{split}_{quantity}") for p in group}
        curves = {seed: curve for seed, curve in curves.items() if len(curve[0])}
        if len(curves) > 1:
            faint += [
                Line(f"{label}, seed {seed}", *curve, style, faint=True) for seed, curve in curves.items()
            ]
        if curves:
            bold.append(Line(label, *mean_curve(list(curves.values())), style))
    return faint + bold


def _agreement(run: RunData) -> Html:
    rows = []
    for pretraining in run.pretraining:
        summary = pretraining.summary
        if summary is None or summary.taken_over:
            continue
        agreement, ceiling = summary.val_accuracy, summary.ceiling_accuracy
        reached = agreement / ceiling if agreement is not None and ceiling else None
        rows.append(
            [
                f"{pretraining.architecture}, seed {pretraining.seed}",
                percent(agreement),
                percent(ceiling),
                percent(reached),
                number(summary.val_loss),
                number(summary.best_epoch),
                number(summary.rows),
            ]
        )
    header = [
        "policy",
        "agreement, held out",
        "ceiling",
        "of the ceiling",
        "loss, held out",
        "best epoch",
        "decisions",
    ]
    caption = (
        "Agreement: share of held-out decisions in which the cloned policy takes the demonstrator's action. "
        "Ceiling: the same for a fit that was also shown the held-out decisions."
    )
    return table(header, rows, caption=caption)


SECTION = Section(
    "cloning",
    "Behaviour cloning",
    40,
    lambda run: any(len(p.curve) or (p.summary and not p.summary.taken_over) for p in run.pretraining),
    build,
)
