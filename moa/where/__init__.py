"""WHERE an expert acts: per pixel, in attention (Mixture-of-Attention, 2404.11565)."""

from moa.where.adapter import MoAAdapter
from moa.where.context import ExpertContext, MoAContext, Trace
from moa.where.mounting import Mounted, mount, remove

__all__ = ["ExpertContext", "MoAAdapter", "MoAContext", "Mounted", "Trace", "mount", "remove"]
