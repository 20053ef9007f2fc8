"""Training: to the bit after any kill, one look a step, and a message that names the parameter."""

import io
import math
import os
import pickle
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from tqdm import tqdm

from minigen import Tensor, losses, manual_seed, nn, ops, optim, randn, training, use
from minigen.training import Batches, Checkpoint, CheckpointError, History, TrainingError
from minigen.training import minimise, train

from .backend import strict

ROOT = Path(__file__).parents[1]
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Net(nn.Module):
    """A convolution, a batch norm with its buffers, and a linear layer."""

    def __init__(self, dtype, rng):
        self.conv = nn.Conv2d(1, 3, 3, generator=rng)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3 * 4 * 4, 1, generator=rng)
        for _, tensor in self.named_tensors():
            tensor.data = tensor.data.astype(dtype)

    def forward(self, x):
        return self.head(ops.relu(self.norm(self.conv(x))).reshape(len(x), 48))


def regression(dtype="float32", seed=0):
    """A step, and all that it changes: networks, an optimiser, batches and two generators (the
    default one is not in the state: a checkpoint adds it)."""
    manual_seed(seed)
    rng = np.random.default_rng([seed, 2])
    x = rng.standard_normal((20, 1, 6, 6)).astype(dtype)
    y = x.sum(axis=(1, 2, 3)).reshape(-1, 1)
    net, average, noise = Net(dtype, rng), Net(dtype, rng), np.random.default_rng([seed, 1])
    optimiser = optim.Adam(net.parameters(), lr=1e-2)
    batches = Batches((x, y), 8, rng)

    def step(i):
        a, b = next(batches)
        b = b + Tensor(0.1 * noise.standard_normal(b.shape), dtype=dtype)
        b = b + 0.1 * randn(*b.shape, dtype=dtype)  # the default generator's
        loss = losses.mse(net(a), b)
        norm = minimise(loss, optimiser, net)
        optimiser.lr *= 0.99
        for ours, theirs in zip(average.parameters(), net.parameters()):
            ours.data = 0.9 * ours.data + 0.1 * theirs.data
        return {"loss": loss, "gradient norm": norm}

    return step, {"net": net, "average": average, "optimiser": optimiser, "batches": batches,
                  "noise": noise}


def game(dtype="float32", seed=0):
    """A step of a game: a critic, by gradient descent with momentum, thrice, and a generator."""
    rng = manual_seed(seed)
    critic, generator = Net(dtype, rng), nn.Linear(2, 36, generator=rng)
    for p in generator.parameters():
        p.data = p.data.astype(dtype)
    turns = [optim.SGD(critic.parameters(), 1e-2, momentum=0.9),
             optim.RMSprop(generator.parameters(), 1e-3)]
    batches = Batches((rng.standard_normal((10, 1, 6, 6)).astype(dtype),), 4, rng)

    def fake():
        z = Tensor(rng.standard_normal((4, 2)), dtype=dtype)
        return generator(z).reshape(4, 1, 6, 6)

    def step(i):
        for _ in range(3):
            real, = next(batches)
            distance = critic(fake()).mean() - critic(real).mean()
            minimise(distance, turns[0], critic, max_norm=0.5)
        loss = -critic(fake()).mean()
        minimise(loss, turns[1], generator)
        return {"critic": distance, "generator": loss}

    return step, {"critic": critic, "generator": generator, "one": turns[0], "other": turns[1],
                  "batches": batches}


def bits(path):
    """The entries of a checkpoint, as bytes."""
    with np.load(path, allow_pickle=False) as file:
        return {key: (file[key].shape, file[key].dtype.str, file[key].tobytes()) for key in file}


def leaf(value, dtype="float64"):
    return Tensor(value, requires_grad=True, dtype=dtype)


class Bag(nn.Module):
    """A module with the given tensors."""

    def __init__(self, **tensors):
        vars(self).update(tensors)


# To the bit.


@both_dtypes
@pytest.mark.parametrize("task", [regression, game])
def test_a_run_in_pieces_ends_as_a_run_in_one_to_the_bit(task, dtype, tmp_path):
    step, state = task(dtype)
    whole = train(step, 20, Checkpoint(tmp_path / "whole", state))
    for stop in (7, 8, 20):
        step, state = task(dtype)
        pieces = train(step, stop, Checkpoint(tmp_path / "pieces", state))
        assert len(pieces) == stop
    assert bits(tmp_path / "whole") == bits(tmp_path / "pieces")
    for name, values in whole.losses.items():
        assert values.tobytes() == pieces.losses[name].tobytes()


def test_a_run_in_pieces_is_another_where_the_state_is_not_complete(tmp_path):
    ends = []
    for stops in ([6], [3, 6]):
        for stop in stops:
            step, state = regression()
            del state["optimiser"]
            train(step, stop, Checkpoint(tmp_path / str(stops), state))
        ends.append(bits(tmp_path / str(stops)))
    assert ends[0] != ends[1]


def test_without_a_checkpoint_the_steps_are_the_same(tmp_path):
    step, _ = regression()
    plain = train(step, 5)
    step, state = regression()
    kept = train(step, 5, Checkpoint(tmp_path / "file", state, every=0.0))
    assert (plain.losses["loss"] == kept.losses["loss"]).all()


def test_a_finished_run_only_gives_back_its_end(tmp_path):
    step, state = regression()
    first = train(step, 5, Checkpoint(tmp_path / "file", state))
    before, at = bits(tmp_path / "file"), (tmp_path / "file").stat().st_mtime_ns
    for steps in (5, 3):
        _, state = regression(seed=1)
        again = train(lambda i: pytest.fail("a step"), steps, Checkpoint(tmp_path / "file", state))
        assert (again.losses["loss"] == first.losses["loss"]).all()
        Checkpoint(tmp_path / "copy", state).save(again)
        assert bits(tmp_path / "copy") == before
    assert (tmp_path / "file").stat().st_mtime_ns == at


PROGRAM = """
import os, signal, sys
sys.path.insert(0, {root!r})
from minigen import training
from tests.test_training import game

place, at = sys.argv[2], int(sys.argv[3])
step, state = game()
checkpoint = training.Checkpoint(sys.argv[1], state, every=0.0)


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def half_written(descriptor):
    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
    die()


def counted(i):
    print(i, flush=True)
    losses = step(i)
    if i == at:
        if place == "step":
            die()
        elif place == "write":
            os.fsync = half_written
        elif place == "replace":
            os.replace = die
    return losses


training.train(counted, {steps}, checkpoint)
"""
STEPS = 40


def launch(path, place="nowhere", at=-1):
    code = PROGRAM.format(root=str(ROOT), steps=STEPS)
    return subprocess.Popen([sys.executable, "-c", code, str(path), place, str(at)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "file.npz"
    done = launch(path)
    _, errors = done.communicate()
    assert done.returncode == 0, errors
    return bits(path)


def test_a_process_killed_in_a_step_in_a_write_or_before_the_swap_ends_the_same(
    uninterrupted, tmp_path
):
    path = tmp_path / "file.npz"
    for place, at in [("step", 0), ("write", 0), ("write", 9), ("replace", 9), ("step", 20)]:
        process = launch(path, place, at)
        seen, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
        assert int(seen.split()[-1]) == at
        assert path.exists() == (at > 0)
    process = launch(path)
    seen, errors = process.communicate()
    assert process.returncode == 0, errors
    assert int(seen.split()[0]) == 20
    assert bits(path) == uninterrupted
    assert [p.name for p in tmp_path.iterdir()] == ["file.npz"]


@pytest.mark.slow
def test_a_process_killed_at_random_moments_ends_the_same(uninterrupted, tmp_path):
    path = tmp_path / "file.npz"
    rng = np.random.default_rng(time.time_ns())
    kills = 0
    for target in [*sorted(rng.choice(STEPS - 1, 5, replace=False)), STEPS]:
        process = launch(path)
        for line in process.stdout:
            if int(line) >= target:
                time.sleep(rng.uniform(0, 0.01))
                process.kill()
                break
        _, errors = process.communicate()
        kills += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), errors
    assert process.returncode == 0 and kills >= 3
    assert bits(path) == uninterrupted


# Ctrl-C.


def test_ctrl_c_ends_the_step_saves_and_stops(tmp_path):
    step, state = regression()
    train(step, 9, Checkpoint(tmp_path / "whole", state))
    handler = signal.getsignal(signal.SIGINT)
    step, state = regression()

    def interrupted(i):
        if i == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step(i)

    with pytest.raises(KeyboardInterrupt):
        train(interrupted, 9, Checkpoint(tmp_path / "file", state))
    assert signal.getsignal(signal.SIGINT) is handler
    step, state = regression()
    checkpoint = Checkpoint(tmp_path / "file", state)
    assert len(checkpoint.load()) == 5
    train(step, 9, checkpoint)
    assert bits(tmp_path / "file") == bits(tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    step, state = regression()

    def impatient(i):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # Python sees a signal a little later, and two at once as one
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        pytest.fail("the step went on")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in a background job: none
    try:
        with pytest.raises(KeyboardInterrupt):
            train(impatient, 9, Checkpoint(tmp_path / "file", state))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "file").exists()


def test_an_error_in_a_step_leaves_the_last_save_and_the_handler(tmp_path):
    step, state = regression()
    handler = signal.getsignal(signal.SIGINT)

    def broken(i):
        return step(i) if i < 3 else {}["no such key"]

    with pytest.raises(KeyError):
        train(broken, 9, Checkpoint(tmp_path / "file", state, every=0.0))
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(Checkpoint(tmp_path / "file", state).load()) == 3


# Files that will not do.


@pytest.fixture
def saved(tmp_path):
    """A checkpoint's path, after a few steps."""
    step, state = game()
    train(step, 3, Checkpoint(tmp_path / "saved.npz", state))
    return tmp_path / "saved.npz"


def refused(path, state, match):
    """Loading raises, changes neither the state nor the file, and says what to do."""
    model = {key: value.copy() for key, value in state["critic"].state_dict().items()}
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CheckpointError, match=match) as error:
        train(lambda i: pytest.fail("a silent restart"), 9, Checkpoint(path, state))
    assert str(path) in str(error.value) and "move it away" in str(error.value)
    for key, value in state["critic"].state_dict().items():
        assert value.tobytes() == model[key].tobytes()
    assert before is None or path.read_bytes() == before


def test_a_truncated_file_is_refused(saved):
    whole = saved.read_bytes()
    for length in [0, 1, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1]:
        saved.write_bytes(whole[:length])
        refused(saved, game()[1], "not a zip file")


def test_a_flipped_bit_is_seen_or_does_no_harm(saved):
    whole, wanted = saved.read_bytes(), bits(saved)
    rng = np.random.default_rng(0)
    places = rng.choice(len(whole), 150, replace=False)
    seen = 0
    for place in [*places, *range(len(whole) - 100, len(whole))]:  # there: the list of entries
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        saved.write_bytes(damaged)
        _, state = game(seed=1)
        checkpoint = Checkpoint(saved, state)
        try:
            history = checkpoint.load()
        except CheckpointError:
            seen += 1
            continue
        checkpoint.save(history)
        assert bits(saved) == wanted
    assert seen > 100


def test_a_header_that_asks_for_fewer_numbers_than_there_are_is_seen(saved):
    damaged = bytearray(saved.read_bytes())
    for name in (b"losses/critic.npy", b"losses/generator.npy"):
        at = damaged.index(b"(3,)", damaged.index(name))
        damaged[at:at + 4] = b"(2,)"  # the third number, and the CRC, would never be read
    saved.write_bytes(damaged)
    refused(saved, game()[1], "losses/critic.npy is damaged")


def npz(**entries):
    file = io.BytesIO()
    np.savez(file, **entries)
    return file.getvalue()


@pytest.mark.parametrize("content, match", [
    (b"# a text\n", "not a zip file"), (pickle.dumps([1, 2]), "not a zip file"),
    (npz(x=np.ones(3)), "is missing in the file"),
    (npz(x=np.array([{}], dtype=object)), "Object arrays cannot be loaded"),
], ids=["text", "pickle", "another archive", "objects"])
def test_a_foreign_file_is_refused(content, match, tmp_path):
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    refused(path, game()[1], match)


def test_an_array_alone_or_a_folder_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.ones(3))
    refused(tmp_path / "array.npy", game()[1], "not a zip file")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", game()[1], "directory|denied")


@pytest.mark.parametrize("change, match", [
    (lambda s: s.update(generator=nn.Linear(3, 36)),
     r"generator/weight is \(36, 2\) float32 in the file, but \(36, 3\) float32 in this program"),
    (lambda s: s.update(more=nn.Linear(3, 36)), "more/weight is missing in the file"),
    (lambda s: s.pop("generator"), r"generator/weight is .* but missing in this program"),
    (lambda s: s.update(critic=Net("float64", None)), "conv.weight is .* float32 .* float64"),
    (lambda s: s.update(one=optim.Adam(s["critic"].parameters())), "one/t is missing"),
    (lambda s: s.update(batches=Batches((np.ones(11),), 4, s["batches"].rng)),
     r"batches/left is \(10,\) int64 in the file, but \(11,\)"),
    (lambda s: vars(s["batches"]).update(rng=np.random.Generator(np.random.MT19937(0))),
     "batches/MT19937 is missing in the file"),
], ids=["shape", "new", "gone", "dtype", "optimiser", "data", "generator"])
def test_a_checkpoint_of_another_model_is_refused_by_name(saved, change, match):
    _, state = game(seed=1)
    change(state)
    refused(saved, state, match)


def test_other_losses_than_those_in_the_file_are_refused(saved):
    _, state = game()
    with pytest.raises(ValueError, match=r"expected losses \['critic', 'generator'\], got \['x'\]"):
        train(lambda i: {"x": 0.0}, 9, Checkpoint(saved, state))


def test_a_folder_is_made_for_the_file(tmp_path):
    step, state = regression()
    train(step, 1, Checkpoint(tmp_path / "a" / "b" / "file.npz", state))
    assert (tmp_path / "a" / "b" / "file.npz").exists()


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_numpy_generator_goes_on_where_it_was(kind, tmp_path):
    one, other = (np.random.Generator(getattr(np.random, kind)(seed)) for seed in (0, 1))
    one.random(3, dtype="float32")  # so that half a word is left over
    history = History({"loss": [1.0]})
    Checkpoint(tmp_path / "file", {"rng": one}).save(history)
    Checkpoint(tmp_path / "file", {"rng": other}).load()
    assert one.random(9, dtype="float32").tolist() == other.random(9, dtype="float32").tolist()


# minimise.


@both_dtypes
def test_the_gradients_norm_is_that_of_all_parameters_together(dtype):
    model = Bag(a=leaf([3.0, 0.0], dtype), b=leaf([[4.0], [12.0]], dtype), c=leaf(0.0, dtype))
    optimiser = optim.SGD(model.parameters(), lr=0.5)
    loss = 0.5 * ((model.a ** 2).sum() + (model.b ** 2).sum() + model.c ** 2)
    assert minimise(loss, optimiser, model) == 13.0
    assert model.a.numpy().tolist() == [1.5, 0.0] and model.b.numpy().tolist() == [[2.0], [6.0]]


@pytest.mark.parametrize("max_norm, length", [(26.0, 13.0), (13.0, 13.0), (6.5, 6.5), (0.0, 0.0)])
def test_a_gradient_longer_than_max_norm_is_shortened_to_it(max_norm, length):
    model = Bag(a=leaf([5.0]), b=leaf([12.0]))
    loss = 0.5 * ((model.a ** 2).sum() + (model.b ** 2).sum())
    norm = minimise(loss, optim.SGD(model.parameters(), lr=1.0), model, max_norm)
    assert norm == 13.0
    np.testing.assert_allclose(5.0 - model.a.numpy(), 5.0 * length / 13)
    np.testing.assert_allclose(12.0 - model.b.numpy(), 12.0 * length / 13)


def test_a_gradient_of_zero_has_norm_zero():
    model = Bag(a=leaf([0.0]))
    assert minimise((model.a ** 2).sum(), optim.SGD([model.a], 1.0), model, max_norm=1.0) == 0.0


def test_only_the_optimisers_own_parameters_get_a_gradient():
    critic, generator = nn.Linear(2, 1), nn.Linear(1, 2)
    loss = critic(generator(Tensor(np.ones((4, 1)), dtype="float32"))).mean()
    minimise(loss, optim.Adam(generator.parameters()), generator)
    assert all(p.grad is None for p in critic.parameters())


def test_a_second_update_does_not_add_to_the_gradient_of_the_first():
    model = Bag(a=leaf([1.0]))
    optimiser = optim.SGD([model.a], lr=0.5)
    assert [minimise((model.a ** 2).sum(), optimiser, model) for _ in range(3)] == [2.0, 0.0, 0.0]


BAD = {
    "log(0)": (lambda b: ops.log(b - b), "-inf"),
    "the slope of a root at 0": (lambda b: ops.sqrt(0.0 * b), "15"),
    "a square too large": (lambda b: float(np.sqrt(np.finfo(b.dtype).max)) * b, ".*e[+]"),
}


@both_dtypes
@pytest.mark.parametrize("bad, value", BAD.values(), ids=BAD)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_gradient_that_is_not_finite_is_named_and_nothing_is_changed(bad, value, dtype):
    model = Bag(outer=Bag(a=leaf([3.0], dtype), b=leaf([2.0, 3.0], dtype)), last=leaf([5.0], dtype))
    optimiser = optim.Adam(model.parameters(), lr=0.0)
    before = {}

    def step(i):
        before.update(model.state_dict(), **optimiser.state_dict())
        b = bad(model.outer.b) if i == 2 else model.outer.b
        loss = (model.outer.a * model.last).sum() + b.sum()
        minimise(loss, optimiser, model)
        return {"loss": loss}

    with pytest.raises(TrainingError) as error:
        train(step, 9, label="toy")
    error.match(rf"^toy, step 2: the loss is {value}.*: 1 of 3 gradients, outer\.b\. No param")
    assert isinstance(error.value, FloatingPointError)
    after = {**model.state_dict(), **optimiser.state_dict()}
    assert before["t"] == 2
    assert all(before[key].tobytes() == after[key].tobytes() for key in before)


def test_a_loss_that_is_not_finite_is_refused_though_its_gradients_are():
    model = Bag(a=leaf([1.0]))
    with pytest.raises(TrainingError, match="the loss is inf; .*: 0 of 1 gradients"):
        minimise(model.a.sum() + math.inf, optim.SGD([model.a], 1.0), model)
    assert model.a.item() == 1.0


def test_of_many_bad_gradients_three_are_named():
    model = Bag(w=[leaf([1.0]) for _ in range(5)])
    with pytest.raises(TrainingError, match=r"5 of 5 gradients, w\.0, w\.1, w\.2\. No"):
        minimise(sum(p.sum() for p in model.w) * math.nan, optim.SGD(model.w, 1.0), model)


# The losses.


def test_a_history_has_a_number_for_every_step_and_keeps_no_graph():
    model = Bag(a=leaf([1.0]))
    kept = []

    def step(i):
        loss = (model.a * float(i)).sum()
        kept.append(weakref.ref(loss.node))
        return {"tensor": loss, "float": i / 2, "array": np.float32(i)}

    history = train(step, 4)
    assert len(history) == 4
    assert all(node() is None for node in kept)
    assert {name: values.tolist() for name, values in history.losses.items()} == {
        "tensor": [0, 1, 2, 3], "float": [0, 0.5, 1, 1.5], "array": [0, 1, 2, 3]}
    assert all(values.dtype == np.float64 for values in history.losses.values())


@pytest.mark.parametrize("second", [{}, {"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}])
def test_losses_of_other_names_than_before_are_refused(second):
    history = History()
    history.append({"b": 1.0, "a": 2.0})
    history.append({"a": 2.0, "b": 1.0})
    with pytest.raises(ValueError, match=r"expected losses \['b', 'a'\]"):
        history.append(second)


def test_a_step_without_losses_is_refused():
    with pytest.raises(ValueError, match="history: expected losses"):
        train(lambda i: {}, 3)


def test_a_plot_shows_means_over_the_steps_and_has_labels():
    values = np.random.default_rng(0).standard_normal(400).cumsum()
    history = History({"critic": values.tolist(), "generator": (-values).tolist()})
    ax = Figure().subplots()
    history.plot(ax, unit="nats")
    assert ax.get_xlabel() == "step" and ax.get_ylabel() == "loss (nats)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["critic", "generator"]
    bold, faint = ax.lines[:2]
    assert faint.get_xdata().tolist() == list(range(1, 401))
    assert (faint.get_ydata() == values).all() and faint.get_alpha() < 1
    for at, mean in list(zip(*bold.get_data()))[::50]:  # over 10 steps, in whose middle it stands
        assert mean == pytest.approx(values[int(at - 5.5):int(at + 4.5)].mean())
    assert bold.get_color() == faint.get_color() != ax.lines[2].get_color()


def test_a_plot_of_some_losses_and_of_few_steps():
    history = History({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    ax = Figure().subplots()
    history.plot(ax, ["b"])
    assert ax.get_ylabel() == "loss" and len(ax.lines) == 2
    assert ax.lines[0].get_ydata().tolist() == [3.0, 4.0]


def test_the_bar_goes_on_from_the_step_that_was_reached(tmp_path, monkeypatch):
    shown = io.StringIO()
    bar = lambda *args, **more: tqdm(*args, **more | {
        "disable": False, "file": shown, "mininterval": 0, "ascii": True})
    monkeypatch.setattr(training, "tqdm", bar)
    step, state = regression()
    train(step, 4, Checkpoint(tmp_path / "file", state))
    assert "training:   0%" in shown.getvalue() and " 0/4 " in shown.getvalue()
    assert "loss=" in shown.getvalue() and "gradient norm=" in shown.getvalue()
    shown.truncate(0)
    train(step, 8, Checkpoint(tmp_path / "file", state), label="again")
    assert "again:  50%" in shown.getvalue() and " 0/8 " not in shown.getvalue()


# Batches.


@given(n=st.integers(1, 12), size=st.integers(1, 30), seed=st.integers(0, 3))
def test_an_epoch_has_every_point_once_and_no_two_the_same_order(n, size, seed):
    x = np.arange(n, dtype="float32")
    batches = Batches((x, 10 * x.reshape(n, 1)), size, np.random.default_rng(seed))
    seen = []
    while len(seen) < 3 * n:
        a, b = next(batches)
        assert a.shape == (size,) and b.shape == (size, 1) and a.dtype == b.dtype == np.float32
        assert (10 * a.numpy() == b.numpy()[:, 0]).all()
        seen += a.numpy().tolist()
    epochs = [seen[i * n:(i + 1) * n] for i in range(3)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    if n >= 10:  # 3 equal orders of 10 points: once in 10^13
        assert not epochs[0] == epochs[1] == epochs[2]


@given(n=st.integers(1, 12), size=st.integers(1, 30), pause=st.integers(0, 9))
def test_batches_go_on_where_others_stopped(n, size, pause):
    x = np.arange(n)
    one, other = (Batches((x,), size, np.random.default_rng(seed)) for seed in (0, 1))
    for _ in range(pause):
        next(one)
    other.load_state_dict(one.state_dict())
    for _ in range(5):
        assert next(one)[0].numpy().tolist() == next(other)[0].numpy().tolist()


@pytest.mark.parametrize("arrays, size", [
    ((), 2), ((np.ones(3), np.ones(4)), 2), ((np.ones(0),), 2), ((np.ones(3),), 0),
], ids=["none", "two lengths", "no points", "no size"])
def test_arrays_that_make_no_batches_are_refused(arrays, size):
    with pytest.raises(ValueError, match="Batches: expected arrays of one length"):
        Batches(arrays, size, np.random.default_rng(0))


# On another backend.


@pytest.fixture(params=["strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def other(request):
    return strict.install() if request.param == "strict" else request.param


@both_dtypes
@pytest.mark.parametrize("task", [regression, game])
def test_a_run_in_pieces_is_the_same_on_another_backend(task, dtype, other, tmp_path):
    use("numpy")
    step, state = task(dtype)
    wanted = train(step, 10, Checkpoint(tmp_path / "numpy", state))
    use(other)
    for file, stops in [("whole", [10]), ("pieces", [4, 10])]:
        for stop in stops:
            step, state = task(dtype)
            found = train(step, stop, Checkpoint(tmp_path / file, state))
    assert bits(tmp_path / "whole") == bits(tmp_path / "pieces")
    for name, values in wanted.losses.items():
        np.testing.assert_allclose(found.losses[name], values, rtol=1e-3, atol=1e-5)


def test_an_update_waits_for_the_device_once_and_a_history_until_it_is_read(monkeypatch):
    use(strict.install())
    step, _ = regression()
    history = History()
    waits = []
    monkeypatch.setattr(strict, "sync", waits.append)
    for i in range(3):
        history.append(step(i))
    assert waits == [".get()"] * 3
    assert len(history.losses["loss"]) == 3 and len(waits) == 6
    history.append(step(3))
    assert len(history.losses["loss"]) == 4 and len(waits) == 8  # what was read stays read


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_bad_gradient_is_named_on_another_backend(other):
    use(other)
    model = Bag(a=leaf([1.0]), b=leaf([2.0]))
    with pytest.raises(TrainingError, match="1 of 2 gradients, b"):
        minimise(model.a.sum() + ops.log(model.b * 0.0).sum(),
                 optim.Adam(model.parameters()), model)
