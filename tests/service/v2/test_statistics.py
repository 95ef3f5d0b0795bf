"""The counts of what each model was asked."""

from equifield_service.scheduling.statistics import Statistics


def test_batches_and_requests_are_counted_as_the_protocol_wants_them() -> None:
    counted = Statistics()
    counted.ran("m", "1", samples=4, queued=[0.5, 1.0], compute_input=0.1, compute_infer=0.2, compute_output=0.3)
    counted.ran("m", "1", samples=1, queued=[0.0], compute_input=0.1, compute_infer=0.1, compute_output=0.1)
    counted.answered("m", "1", samples=3, seconds=2.0, success=True)
    counted.answered("m", "1", samples=1, seconds=4.0, success=False)
    found = counted.of("m", "1").to_dict()
    assert (found["inference_count"], found["execution_count"]) == (3, 2)
    stages = found["inference_stats"]
    assert stages["success"] == {"count": 1, "ns": 2_000_000_000}
    assert stages["fail"] == {"count": 1, "ns": 4_000_000_000}
    assert stages["queue"] == {"count": 3, "ns": 1_500_000_000}
    assert stages["compute_infer"] == {"count": 3, "ns": 500_000_000}, "every request of a batch takes as long as it"
    assert [batch["batch_size"] for batch in found["batch_stats"]] == [1, 4]
    assert found["batch_stats"][1]["compute_infer"] == {"count": 1, "ns": 200_000_000}


def test_what_was_never_asked_is_all_zeros_and_stays_unknown() -> None:
    counted = Statistics()
    assert counted.of("m", "1").to_dict()["inference_count"] == 0
    assert counted.of("m", "1").to_dict()["batch_stats"] == []
