"""What `onevoice why` says of a decision's placements, from the row that the log keeps."""

import msgspec

from core.decide import Engine
from hub.cli.why import decision_lines
from hub.decisioning.decision_log import named_row
from tests.vectors.build import REVISION, build
from tests.vectors.load import load_vectors


def lines_of(vector_id: str) -> list[str]:
    [vector] = [one for one in load_vectors() if one.id == vector_id]
    built = build(vector)
    decision = Engine(built.bundle, REVISION).decide(
        built.record, built.overlay, built.request, built.now_ms, at_edge=built.at_edge
    )
    row = named_row(msgspec.msgpack.encode(decision.log_row()), "hub")
    return [line.strip() for line in decision_lines(row)]


def test_diversity_is_told_with_its_numbers() -> None:
    lines = lines_of("diversity/unlike-wins")
    assert "second: offer boots-c, treatment boots-c-at-second (ok: chosen)" in lines
    told = "best for a page that is not all alike: 1 of the best score, likeness 0.5, rank 0.7"
    assert lines.count(told) == 1


def test_a_filled_slot_is_told_with_its_block() -> None:
    assert "slot text filled by tags: block punch" in lines_of("slots/fewest-other-tags")
    assert "slot text filled by tags: block snow, drawn among several" in lines_of("slots/sampled-01")
    assert "a model or a draw had a part in it" in lines_of("slots/sampled-01")


def test_a_row_of_an_earlier_version_is_told_without_what_it_lacks() -> None:
    [vector] = [one for one in load_vectors() if one.id == "slots/fewest-other-tags"]
    built = build(vector)
    decision = Engine(built.bundle, REVISION).decide(built.record, [], built.request, built.now_ms)
    *head, [placement] = decision.log_row()
    earlier = msgspec.msgpack.encode([*head, [placement[:11]]])
    assert not any("filled by tags" in line for line in decision_lines(named_row(earlier, "hub")))
