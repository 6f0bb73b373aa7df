"""Charts: marks lie where the numbers say, whatever the numbers; every text is escaped; the SVG is well-formed."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from flows.report.bars import draw_actions, draw_parts, draw_share, draw_weights, largest_actions
from flows.report.charts import Mark, Row, draw_estimates, draw_evidence, draw_learning, draw_lift
from flows.report.facts import ActionShare, Curve, CurvePoint, Gate, Lift, Weights
from flows.report.svg import Scale, fit_scale, shorten, ticks
from tests.flows.report.example_facts import hold_facts, promote_facts

LN10 = math.log(10)
EVIL = '"><script>alert(1)</script><g onload="alert(2)'


def parse(svg: str) -> ElementTree.Element:
    """The chart as XML; every coordinate is finite and nothing but text lies outside the view box."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for name, value in element.attrib.items():
            if name in ("x", "x1", "x2", "cx", "y", "y1", "y2", "cy", "width", "height", "r", "points"):
                numbers = [float(n) for n in re.split(r"[ ,]+", value)]
                assert all(math.isfinite(n) for n in numbers), (element.tag, name, value)
                limit = width if name in ("x", "x1", "x2", "cx", "width") else height
                if element.tag != "text" and name != "points":
                    assert all(-0.01 <= n <= limit + 0.01 for n in numbers), (element.tag, name, value)
    return root


def by_class(root: ElementTree.Element, css: str) -> list[ElementTree.Element]:
    return [e for e in root.iter() if css in e.attrib.get("class", "").split()]


def texts(root: ElementTree.Element) -> list[str]:
    return [e.text or "" for e in root.iter("text")]


def make_lift(estimate: float, lower: float, upper: float) -> Lift:
    return Lift(
        estimate=estimate, lower=lower, upper=upper, coverage=0.95, champion_value=0.0, challenger_value=estimate
    )


def test_ticks_are_round_and_inside() -> None:
    assert ticks(Scale(0.0, 1.0, 0, 100), about=5) == (
        [0.0, 0.2, pytest.approx(0.4), pytest.approx(0.6), 0.8, 1.0],
        0.2,
    )
    assert ticks(Scale(-7.0, 8.0, 0, 100), about=4) == ([-5.0, 0.0, 5.0], 5.0)


def test_a_scale_holds_constant_and_missing_values() -> None:
    assert fit_scale([5.0, 5.0], 0, 100)(5.0) == 50.0
    assert fit_scale([0.0], 0, 100)(0.0) == 50.0
    assert fit_scale([], 0, 100, margin=0.0)(0.5) == 50.0
    assert Scale(0.0, 1.0, 0, 100)(7.0) == 100.0


def test_the_lift_lies_on_its_scale() -> None:
    root = parse(draw_lift(make_lift(0.2, 0.1, 0.4), truth=0.3))
    zero = float(by_class(root, "zero")[0].attrib["x1"])
    estimate = float(by_class(root, "point")[0].attrib["cx"])
    interval = by_class(root, "interval")[0].attrib
    truth = float(by_class(root, "truth")[0].attrib["points"].split(",")[0])
    unit = (estimate - zero) / 0.2
    assert float(interval["x"]) == pytest.approx(zero + 0.1 * unit, abs=0.02)
    assert float(interval["width"]) == pytest.approx(0.3 * unit, abs=0.02)
    assert truth == pytest.approx(zero + 0.3 * unit, abs=0.02)
    assert by_class(root, "better")
    assert "exact: +0.30" in texts(root)


@pytest.mark.parametrize(
    ("ends", "side"), [((0.1, 0.3), "better"), ((-0.3, -0.1), "worse"), ((-0.1, 0.1), "open"), ((0.0, 0.2), "open")]
)
def test_the_colour_of_an_interval_says_on_which_side_of_zero_it_lies(ends: tuple[float, float], side: str) -> None:
    root = parse(draw_lift(make_lift(sum(ends) / 2, *ends), truth=None))
    assert by_class(root, "interval")[0].attrib["class"] == f"interval {side}"
    assert not by_class(root, "truth")


@pytest.mark.parametrize("size", [1e-300, 1e-12, 0.0, 1.0, 1e12, 1e300])
def test_charts_survive_tiny_and_huge_numbers(size: float) -> None:
    parse(draw_lift(make_lift(size, -size, 2 * size), truth=size))
    marks = (Mark("champion", size, -size, size), Mark("challenger", -size, None, None))
    parse(draw_estimates([Row("ips", marks)], truth={"champion": size}, axis="reward", label="values"))
    points = (CurvePoint(step=1, loss=size, value=size), CurvePoint(step=2, loss=-size, value=size))
    parse(draw_learning([Curve(algorithm="cql", seed=0, chosen=True, points=points)], values=[size, size]))
    parse(draw_actions([ActionShare(action="a", champion=size, challenger=0.0)]))
    gate = Gate(log_e_promote=size, log_e_block=-size, log_threshold=7, look=1, n_looks=1, n=1, n_units=1)
    parse(draw_evidence(gate))


def test_estimates_without_an_interval_have_no_whisker() -> None:
    root = parse(
        draw_estimates([Row("dm", (Mark("champion", 0.5, None, None),))], truth={}, axis="reward", label="values")
    )
    assert not by_class(root, "whisker")
    assert len(by_class(root, "mark")) == 1
    assert len(by_class(root, "champion")) == 1


def test_evidence_is_drawn_in_log10_with_its_threshold() -> None:
    gate = promote_facts().gate
    root = parse(draw_evidence(gate))
    left = [t for t in root.iter("text") if t.attrib["text-anchor"] == "end" and (t.text or "").isdigit()]
    places = {t.text: float(t.attrib["y"]) - 4 for t in left}
    per_unit = (places["0"] - places["20"]) / 20
    threshold = float(by_class(root, "threshold")[0].attrib["y1"])
    assert threshold == pytest.approx(places["0"] - 3 * per_unit, abs=0.05)
    last = next(e for e in by_class(root, "challenger") if e.tag == "circle")
    assert float(last.attrib["cy"]) == pytest.approx(places["0"] - 22.1 * per_unit, abs=0.05)
    assert "−31.4 ↓" in texts(root)  # cut off, and said so
    assert "22.1 for the challenger and −31.4 against it; 3 is needed" in root.attrib["aria-label"]


def test_evidence_of_one_row_and_without_a_path() -> None:
    empty = Gate(log_threshold=7, look=1, n_looks=5, n=0, n_units=0)
    assert "not measured" in parse(draw_evidence(empty)).attrib["aria-label"]
    one = Gate(
        log_e_promote=0.1, log_e_block=-0.1, log_threshold=7, look=1, n_looks=5, n=1, n_units=1, trajectory=((1, 0.1),)
    )
    parse(draw_evidence(one))


def test_learning_draws_the_chosen_seed_last_and_one_point_as_a_dot() -> None:
    curves = [
        Curve(
            algorithm="cql",
            seed=seed,
            chosen=seed == 0,
            points=(CurvePoint(step=1, value=0.1), CurvePoint(step=2, value=0.2)),
        )
        for seed in (0, 1, 2)
    ]
    drawn = by_class(parse(draw_learning(curves, values=[0.1, 0.2])), "curve")
    assert [e.attrib["class"] for e in drawn] == ["curve", "curve", "curve chosen"]
    point = Curve(algorithm="linear", seed=0, chosen=False, points=(CurvePoint(step=1, value=0.1),))
    assert len(by_class(parse(draw_learning([point], values=[0.1])), "dot")) == 1
    parse(draw_learning([Curve(algorithm="cql", seed=0, chosen=False)], values=[]))
    parse(draw_learning([], values=[]))


def test_the_histogram_keeps_every_count() -> None:
    weights = hold_facts().weights
    root = parse(draw_weights(weights))
    shown = [e.find("title").text for e in by_class(root, "bar")]
    assert shown == [f"{n:,} rows" for n in weights.histogram.counts if n]
    assert f"max {27.4}" in texts(root)


@pytest.mark.parametrize(
    ("edges", "counts", "top"),
    [((0.0, 1.0), (5,), 1.0), ((1.0, 1.0000001), (1,), 1.0), ((1e-3, 1e308), (1,), 1e308), ((), (), 0.0)],
)
def test_odd_histograms_are_drawn(edges: tuple[float, ...], counts: tuple[int, ...], top: float) -> None:
    weights = Weights.model_validate(
        {
            "effective_sample_size": 1.0,
            "quantiles": {"p50": top, "p90": top, "p99": top, "max": top},
            "histogram": {"edges": edges, "counts": counts},
            "unsupported_mass": 0.0,
        }
    )
    parse(draw_weights(weights))


@pytest.mark.parametrize("n", [1, 2, 20, 21, 34, 1000])
def test_any_number_of_actions_stays_legible(n: int) -> None:
    actions = [
        ActionShare(action=f"item {k}", champion=1 / n, challenger=2 * (k + 1) / (n * (n + 1))) for k in range(n)
    ]
    shown, others = largest_actions(actions)
    assert len(shown) == min(n, 20)
    total = sum(a.challenger for a in shown) + (others.challenger if others else 0.0)
    assert total == pytest.approx(1.0)
    root = parse(draw_actions(actions))
    assert len(by_class(root, "bar")) == 2 * len(shown)
    assert float(root.attrib["viewBox"].split()[3]) < 600
    assert any(f"{n - 20:,} other" in t for t in texts(root)) == (n > 20)


def test_parts_add_up_and_none_is_invisible() -> None:
    root = parse(draw_parts([("train", 1_000_000, "train"), ("gate", 1, "gate"), ("none", 0, "x")], label="Rows"))
    widths = [float(e.attrib["width"]) for e in by_class(root, "part")]
    assert len(widths) == 2
    assert min(widths) >= 2
    assert root.attrib["aria-label"] == "Rows: train 1,000,000, gate 1, none 0."


def test_every_text_is_escaped() -> None:
    drawn = [
        draw_actions([ActionShare(action=EVIL, champion=0.5, challenger=0.4)]),
        draw_estimates([Row(EVIL, (Mark("champion", 0.5, 0.4, 0.6),))], truth={}, axis=EVIL, label=EVIL),
        draw_learning(
            [Curve(algorithm=EVIL, seed=0, chosen=True, points=(CurvePoint(step=1, value=1.0),))], values=[1.0]
        ),
        draw_parts([(EVIL, 3, EVIL)], label=EVIL),
        draw_share(0.5, EVIL),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert "script" not in {e.tag for e in root.iter()}
        assert not any(name.startswith("on") for e in root.iter() for name in e.attrib)


def test_charts_are_named_for_screen_readers() -> None:
    facts = promote_facts()
    for svg in (draw_lift(facts.lift, 0.1), draw_evidence(facts.gate), draw_weights(facts.weights)):
        root = parse(svg)
        assert root.attrib["role"] == "img"
        assert len(root.attrib["aria-label"]) > 20


def test_long_names_and_control_characters_are_cut() -> None:
    assert shorten("a" * 50, 10) == "a" * 9 + "…"
    assert shorten("a\x00b\nc", 10) == "a b c"
