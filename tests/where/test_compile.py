"""torch.compile of a mounted block in one graph, in a process without the type-check hook (it breaks graphs)."""

import os
import subprocess
import sys
from pathlib import Path

CHECK = """
import torch
from experts import alice, make_scene
from moa.where.subjects import Subjects

scene = make_scene("sd15", tokens=2)
layer = scene.unet.down_blocks[0].attentions[0].transformer_blocks[0]
kept = {}
layer.register_forward_hook(lambda m, args, kwargs, out: kept.update(args=args, kwargs=kwargs, out=out), with_kwargs=True)
scene.answer(Subjects([[alice()], [alice(4)]]))
layer._forward_hooks.clear()
layer._forward_hooks_with_kwargs.clear()
compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
with torch.no_grad():
    torch.testing.assert_close(compiled(*kept["args"], **kept["kwargs"]), kept["out"], rtol=1e-4, atol=1e-5)
print("one graph")
"""


def test_a_mounted_block_compiles_to_one_graph():
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]), "MOA_TYPECHECK": "0"}
    done = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "one graph" in done.stdout
