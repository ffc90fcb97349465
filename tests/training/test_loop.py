"""The loop: exact resumption, what trains, what stops it, what it reports."""

import logging
import multiprocessing
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from moa.training import checkpoint
from moa.training.interruption import Interrupted, Interruption
from moa.training.loop import Report, train
from moa.training.optimizer import muon

from toys import Ramp, Toy

SMALL = dict(batch_size=6, learning_rate=0.05, steps=12, ema_decay=0.9, weight_decay=0.1, schedule="cosine", cpu=True)


def run(toy: Toy, out: Path, **changes: object) -> list[Report]:
    return list(train(toy, Ramp(), out=out, **(SMALL | changes)))


def final(out: Path) -> dict[str, dict[str, Tensor]]:
    return dict(checkpoint.load(checkpoint.latest(out / "checkpoints")).tensors)


def same(a: dict[str, dict[str, Tensor]], b: dict[str, dict[str, Tensor]]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[group][name], b[group][name]) for group in a for name in a[group])


def test_learns_and_reports(tmp_path: Path) -> None:
    toy = Toy(noisy=False)
    reports = run(toy, tmp_path, steps=60, weight_decay=0.0)
    assert [report.step for report in reports] == list(range(1, 61))
    assert reports[-1].parts["fit"] < 0.2 * reports[0].parts["fit"]
    assert {"fit", "size"} <= reports[0].parts.keys() <= {"fit", "size", "low"} and reports[0].pictures_per_second > 0
    assert reports[-1].learning_rate < 1e-4 < reports[0].learning_rate


@pytest.mark.parametrize("accumulate", [1, 2])
def test_resuming_is_bit_exact(tmp_path: Path, accumulate: int) -> None:
    run(Toy(), tmp_path / "whole", accumulate=accumulate)
    for report in train(Toy(), Ramp(), out=tmp_path / "cut", **SMALL, accumulate=accumulate, checkpoint_every=5):
        torch.rand(report.step)  # a consumer's use of the global generator changes nothing
        if report.step == 7:
            break  # the last checkpoint is that of step 5
    assert [path.name for path in checkpoint.step_folders(tmp_path / "cut" / "checkpoints")] == ["step_00000005"]
    reports = run(Toy(), tmp_path / "cut", accumulate=accumulate, resume="latest")
    assert reports[0].step == 6
    assert same(final(tmp_path / "whole"), final(tmp_path / "cut"))


def test_resuming_is_bit_exact_for_muon_and_kernels(tmp_path: Path) -> None:
    settings = dict(optimizer=partial(muon, adam_learning_rate=0.02))
    run(Toy(kernel=True), tmp_path / "whole", **settings)
    for report in train(Toy(kernel=True), Ramp(), out=tmp_path / "cut", **SMALL, **settings, checkpoint_every=5):
        if report.step == 7:
            break  # the last checkpoint is that of step 5
    assert "before.2.weight/momentum_buffer" in final(tmp_path / "cut")["optimizer"]
    run(Toy(kernel=True), tmp_path / "cut", **settings, resume="latest")
    assert same(final(tmp_path / "whole"), final(tmp_path / "cut"))


def test_learning_rates_follow_one_schedule(tmp_path: Path) -> None:
    rates = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: rates.append([g["lr"] for g in optimizer.param_groups]))
    settings = dict(schedule="trapezoid", cooldown=0.5, floor=0.1, steps=4)
    reports = run(Toy(), tmp_path, optimizer=partial(muon, adam_learning_rate=0.02), **settings)
    hook.remove()
    assert [report.learning_rate for report in reports] == pytest.approx([0.05, 0.05, 0.05, 0.0275])
    assert rates == [pytest.approx([r.learning_rate, 0.4 * r.learning_rate]) for r in reports]


def test_workers_and_validation_change_nothing(tmp_path: Path) -> None:
    run(Toy(), tmp_path / "plain")
    run(Toy(), tmp_path / "workers", workers=2, validate_every_minutes=0.0)
    assert same(final(tmp_path / "plain"), final(tmp_path / "workers"))


def test_accumulation_equals_the_big_batch(tmp_path: Path) -> None:
    run(Toy(noisy=False), tmp_path / "big")
    run(Toy(noisy=False), tmp_path / "parts", accumulate=3)
    big, parts = final(tmp_path / "big"), final(tmp_path / "parts")
    for name, tensor in big["trainable"].items():
        torch.testing.assert_close(parts["trainable"][name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limit", [None, 1e-3])
def test_gradients_are_clipped(tmp_path: Path, limit: float | None) -> None:
    norms = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: norms.append(
            torch.linalg.vector_norm(torch.cat([p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]))
        )
    )
    reports = run(Toy(), tmp_path, steps=3, clip_norm=limit)
    hook.remove()
    assert all(report.gradient_norm > 1e-2 for report in reports)  # as it was before
    for report, norm in zip(reports, norms, strict=True):
        assert float(norm) == pytest.approx(report.gradient_norm if limit is None else limit, rel=1e-3)


def test_trains_exactly_what_requires_a_gradient(tmp_path: Path) -> None:
    toy = Toy()
    before = {name: p.clone() for name, p in toy.named_parameters()}
    run(toy, tmp_path)
    changed = {name for name, p in toy.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"layer.weight", "layer.bias"} == final(tmp_path)["trainable"].keys()
    assert all(p.grad is None for p in toy.prior.parameters())


def test_export_sees_the_averages_and_leaves_the_parameters(tmp_path: Path) -> None:
    toy = Toy()
    run(toy, tmp_path / "run", export=tmp_path / "result")
    saved = final(tmp_path / "run")
    assert torch.equal(toy.exported, saved["average"]["layer.weight"])
    assert torch.equal(toy.layer.weight, saved["trainable"]["layer.weight"])
    assert not torch.equal(toy.exported, toy.layer.weight)


def test_a_loss_that_is_not_finite_names_its_part_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"step 7: size = inf; losses must be finite"):
        run(Toy(break_at=8), tmp_path, checkpoint_every=3)
    assert checkpoint.latest(tmp_path / "checkpoints").name == "step_00000006"


def test_a_gradient_that_is_not_finite_is_named(tmp_path: Path) -> None:
    toy = Toy(noisy=False)
    toy.layer.weight.register_hook(lambda grad: grad * float("nan"))
    with pytest.raises(ValueError, match=r"the gradient of layer\.weight is not finite \(1 such"):
        run(toy, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "neither steps nor max_minutes"),
        ({"schedule": "linear"}, "schedule='linear' is not known"),
        ({"batch_size": 7, "accumulate": 2}, "batch_size=7 cannot be cut"),
        ({"ema_decay": 1.0}, "ema_decay=1.0 is out of range"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(Toy(), tmp_path, **changes)


def test_a_folder_with_checkpoints_is_not_started_over(tmp_path: Path) -> None:
    run(Toy(), tmp_path)
    with pytest.raises(ValueError, match="already holds checkpoints"):
        run(Toy(), tmp_path)


def test_a_run_goes_on_with_another_batch_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = run(Toy(), tmp_path)[-1].step
    after = run(Toy(), tmp_path, resume="latest", batch_size=5, steps=before + 2)
    assert [report.step for report in after] == [before + 1, before + 2]
    assert "was trained with batch_size=6; it goes on with batch_size=5, otherwise than if" in caplog.text


def test_resuming_an_older_checkpoint_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    run(Toy(), tmp_path / "a", checkpoint_every=5)
    older = checkpoint.step_folders(tmp_path / "a" / "checkpoints")[0]
    with pytest.raises(ValueError, match="would be overwritten; set another out"):
        run(Toy(), tmp_path / "a", resume=str(older))
    run(Toy(), tmp_path / "b", resume=str(older))
    assert same(final(tmp_path / "a"), final(tmp_path / "b"))


def test_checkpoints_of_another_run_in_the_folder_are_not_mixed_with(tmp_path: Path) -> None:
    run(Toy(), tmp_path / "a")
    run(Toy(), tmp_path / "b", steps=3)
    (path,) = checkpoint.step_folders(tmp_path / "a" / "checkpoints")
    with pytest.raises(ValueError, match=r"b already holds checkpoints \(step_00000003\), and .*a.* is none of them; set another out"):
        run(Toy(), tmp_path / "b", resume=str(path))


@pytest.mark.parametrize(
    ("resumed", "message"),
    [
        ({"identity": {"noun": "cat"}}, "trained with noun=dog; the settings say noun=cat"),
        ({"identity": None}, "trained with noun=dog; the settings say no noun"),
        ({"identity": {"noun": "dog", "router": "mlp"}}, "trained with no router; the settings say router=mlp"),
        ({"seed": 17}, "trained with train.seed=0; the settings say train.seed=17"),
    ],
)
@pytest.mark.parametrize("by", ["latest", "path"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, resumed: dict[str, object], message: str, by: str) -> None:
    run(Toy(), tmp_path, identity={"noun": "dog"})
    (path,) = checkpoint.step_folders(tmp_path / "checkpoints")
    toy = Toy()
    before = toy.layer.weight.clone()
    with pytest.raises(ValueError, match=f"{path} is of another run: it was {message}"):
        train(
            toy, Ramp(), out=tmp_path, resume="latest" if by == "latest" else str(path), **(SMALL | {"identity": {"noun": "dog"}} | resumed)
        )
    assert torch.equal(toy.layer.weight, before) and not (tmp_path / ".lock").exists()
    run(Toy(), tmp_path, identity={"noun": "dog"}, resume="latest", steps=13)


def test_a_checkpoint_says_what_it_was_trained_with(tmp_path: Path) -> None:
    run(Toy(), tmp_path, identity={"noun": "dog"})
    state = checkpoint.load_state(checkpoint.latest(tmp_path / "checkpoints"))
    assert state["identity"] == {"noun": "dog", "train.seed": 0} and len(state["identity_digest"]) == 12
    assert state["recipe"].items() >= {"batch_size": 6, "schedule": "cosine", "examples": 50, "processes": 1}.items()


def test_damaged_checkpoints_are_not_started_over(tmp_path: Path) -> None:
    run(Toy(), tmp_path)
    (tmp_path / "checkpoints" / "step_00000012" / "state.json").unlink()
    with pytest.raises(ValueError, match="holds 1 checkpoints of which none is whole; .*another out"):
        run(Toy(), tmp_path, resume="latest")


@pytest.mark.parametrize(
    "changes",
    [{"step": "12"}, {"step": None}, {"minutes": "long"}, {"identity": []}, {"recipe": 3}, {"trackers": None}, {"scaler": 1.0}],
)
def test_a_checkpoint_of_other_contents_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    run(Toy(), tmp_path)
    saved = checkpoint.load(checkpoint.latest(tmp_path / "checkpoints"))
    other = checkpoint.Checkpoint(saved.tensors, {**saved.state, **changes})
    path = checkpoint.save(tmp_path / "checkpoints", 13, other, keep=2)
    with pytest.raises(ValueError, match=f"{path} is no checkpoint of a training run: it has no {next(iter(changes))}"):
        run(Toy(), tmp_path, resume="latest")


@pytest.mark.parametrize("schedule", ["constant", "trapezoid", "cosine"])
def test_many_sessions_equal_one(tmp_path: Path, schedule: str) -> None:
    """Each stopped at a step of its own: killed after a save, by a signal, or right before its end."""
    run(Toy(), tmp_path / "whole", schedule=schedule, warmup_steps=3)
    for last in (1, 4, 5, 9, 11):
        reports = train(
            Toy(), Ramp(), out=tmp_path / "cut", resume="latest", checkpoint_every=1, **(SMALL | {"schedule": schedule, "warmup_steps": 3})
        )
        for report in reports:
            if report.step == last:
                if last == 5:
                    signal.raise_signal(signal.SIGTERM)
                    with pytest.raises(Interrupted, match="stopped at step 6"):
                        next(reports)
                reports.close()
                break
    run(Toy(), tmp_path / "cut", schedule=schedule, warmup_steps=3, resume="latest")
    assert same(final(tmp_path / "whole"), final(tmp_path / "cut"))


@pytest.mark.parametrize(("schedule", "steps"), [("constant", (3, 4, 12)), ("trapezoid", (12, 16))])
def test_a_run_is_extended_to_what_it_would_have_been(tmp_path: Path, schedule: str, steps: tuple[int, ...]) -> None:
    """As long as the learning rate has been the same: the trapezoid's falls from step 9 of 12 on, so the shorter run is taken up before."""
    run(Toy(), tmp_path / "whole", schedule=schedule, steps=steps[-1])
    for end in steps:
        for report in (
            reports := train(
                Toy(), Ramp(), out=tmp_path / "cut", resume="latest", checkpoint_every=3, **(SMALL | {"schedule": schedule, "steps": end})
            )
        ):
            if schedule == "trapezoid" and report.step == 9 and end == 12:
                reports.close()
                break
    assert same(final(tmp_path / "whole"), final(tmp_path / "cut"))


def test_what_was_learned_is_saved_before_a_validation(tmp_path: Path) -> None:
    """Which may take long, or fail."""
    toy = Toy()
    toy.validate = lambda out, step, generator: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run(toy, tmp_path, checkpoint_minutes=60.0, validate_every_minutes=0.0)
    assert checkpoint.latest(tmp_path / "checkpoints").name == "step_00000001"


def test_a_save_is_due_after_the_minutes_that_are_set(tmp_path: Path) -> None:
    """What a run that is killed loses."""
    saved = tmp_path / "checkpoints"
    reports, last = train(Toy(pause=0.02), Ramp(), out=tmp_path, checkpoint_minutes=0.002, **(SMALL | {"steps": 40})), 0.0
    for report in reports:
        if saved.is_dir() and checkpoint.step_of(checkpoint.step_folders(saved)[-1]) == report.step:
            last = report.minutes
        assert report.minutes - last < 0.002
    assert last > 0


def test_nothing_learned_is_exported_without_steps(tmp_path: Path) -> None:
    """The way to export a run that was stopped: resumed, with no step to go."""
    run(Toy(), tmp_path, steps=5)
    toy = Toy()
    assert run(toy, tmp_path, steps=0, resume="latest") == []
    assert torch.equal(toy.exported, final(tmp_path)["average"]["layer.weight"])
    assert checkpoint.latest(tmp_path / "checkpoints").name == "step_00000005"


def test_what_trains_must_be_float32(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layer.weight is torch.float16"):
        run(Toy().half(), tmp_path)
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        run(Toy().requires_grad_(False), tmp_path)


def test_minutes_end_a_run(tmp_path: Path) -> None:
    reports = run(Toy(), tmp_path, steps=None, max_minutes=0.005)
    assert reports[-1].minutes >= 0.005 > reports[-2].minutes


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from toys import Ramp, Toy
from moa.training.loop import train
for report in train(Toy(), Ramp(), out={out!r}, batch_size=6, learning_rate=0.05, steps={steps}, ema_decay=0.9, checkpoint_every=1, cpu=True, resume={resume!r}):
    print(report.step, flush=True)
"""


def test_a_run_that_is_left_in_the_middle_holds_no_process_up(tmp_path: Path) -> None:
    """The generator is still alive, and so is its data worker, when the interpreter ends."""
    code = SCRIPT.format(tests=str(Path(__file__).parent), out=str(tmp_path), steps=100, resume="none").replace(
        "cpu=True", "cpu=True, workers=1"
    )
    code = code.replace("for report in ", "reports = ").replace("):\n    print(report.step, flush=True)", ")\nprint(next(reports).step)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0 and done.stdout == "1\n", done.stderr


def start(out: Path, steps: int, resume: str) -> subprocess.Popen:
    code = SCRIPT.format(tests=str(Path(__file__).parent), out=str(out), steps=steps, resume=resume)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_killed_run_resumes_to_the_same_end(tmp_path: Path) -> None:
    process = start(tmp_path / "cut", 400, "none")
    while int(process.stdout.readline()) < 5:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    reached = int(checkpoint.latest(tmp_path / "cut" / "checkpoints").name.removeprefix("step_"))
    assert 5 <= reached < 400
    settings = SMALL | {"weight_decay": 0.0, "schedule": "constant", "steps": reached + 3}
    run(Toy(), tmp_path / "cut", **settings, resume="latest")
    run(Toy(), tmp_path / "whole", **settings)
    assert same(final(tmp_path / "whole"), final(tmp_path / "cut"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture, number: signal.Signals) -> None:
    caplog.set_level(logging.WARNING)
    last, before = 0, signal.getsignal(number)
    with pytest.raises(Interrupted, match="stopped at step 4, which is saved in .*nothing was written to .*export") as stop:
        for report in train(Toy(), Ramp(), out=tmp_path, **(SMALL | {"steps": 1000})):
            last = report.step
            if last == 3:
                for _ in range(3):  # by the terminal, by the launcher, by the scheduler
                    signal.raise_signal(number)
    assert stop.value.number == number
    assert last == 3 and checkpoint.latest(tmp_path / "checkpoints").name == "step_00000004"
    assert "interrupted" in caplog.text
    assert signal.getsignal(number) is before


def test_a_later_signal_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption(patience=0.0) as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.number == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
    with Interruption(patience=60.0) as interruption:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert interruption.number == signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_data_workers_too_and_harms_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """A terminal sends SIGINT to every process of the group, a scheduler SIGTERM."""
    settings, last = SMALL | {"schedule": "constant"}, 0
    with pytest.raises(Interrupted):
        for report in train(Toy(), Ramp(), out=tmp_path / "cut", workers=1, **(settings | {"steps": 1000})):
            last = report.step
            if last == 3:
                (worker,) = multiprocessing.active_children()
                subprocess.run(["kill", "-s", str(int(number)), str(worker.pid)], check=True)  # from elsewhere, as a group's signal is
                worker.join(0.5)
                assert worker.is_alive()
            if last == 6:
                signal.raise_signal(number)
    assert last == 6 and checkpoint.latest(tmp_path / "cut" / "checkpoints").name == "step_00000007"
    run(Toy(), tmp_path / "cut", **(settings | {"steps": 9}), workers=1, resume="latest")
    run(Toy(), tmp_path / "whole", **(settings | {"steps": 9}))
    assert same(final(tmp_path / "whole"), final(tmp_path / "cut"))
