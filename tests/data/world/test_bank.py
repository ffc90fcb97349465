"""Banks on disk."""

import json

import numpy as np
import pytest

from moa.data.world import World, bank, read_bank, render_bank


def test_bank_holds_the_examples_of_the_world(cache, tmp_path):
    path = render_bank(tmp_path / "bank.npy", 5, "test", 3, workers=1, size=64, identities=12, cache=cache)
    pictures, captions = read_bank(path)
    example = World("test", seed=3, size=64, identities=12, cache=cache).example(4)
    assert pictures.shape == (5, 64, 64, 3) and len(captions) == 5
    assert np.array_equal(pictures[4], example.image) and captions[4] == example.caption
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bank.json", "bank.npy"]


def test_interrupted_bank_goes_on_where_it_stopped(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "CHUNK", 2)
    write, started = bank._write_chunk, []

    def stop_at_the_second(world, parts, chunk):
        started.append(chunk.start)
        if started == [0, 2]:
            raise KeyboardInterrupt
        write(world, parts, chunk)

    monkeypatch.setattr(bank, "_write_chunk", stop_at_the_second)
    arguments = {"workers": 1, "size": 32, "identities": 12, "cache": cache}
    with pytest.raises(KeyboardInterrupt):
        render_bank(tmp_path / "bank.npy", 5, "test", **arguments)
    assert not (tmp_path / "bank.npy").exists()
    with pytest.raises(ValueError, match="unfinished bank"):
        render_bank(tmp_path / "bank.npy", 6, "test", **arguments)
    render_bank(tmp_path / "bank.npy", 5, "test", **arguments)
    assert started == [0, 2, 2, 4]
    monkeypatch.undo()
    monkeypatch.setattr(bank, "CHUNK", 3)
    whole = render_bank(tmp_path / "whole.npy", 5, "test", **arguments | {"workers": 2})
    assert np.array_equal(read_bank(whole)[0], read_bank(tmp_path / "bank.npy")[0])
    assert json.loads((tmp_path / "whole.json").read_text()) == json.loads((tmp_path / "bank.json").read_text())


def test_bad_arguments_say_what_is_allowed(tmp_path):
    with pytest.raises(ValueError, match=r"allowed are a \.npy path"):
        render_bank(tmp_path / "bank.bin", 5)
