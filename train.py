"""Trains an expert or the tiny prior: `python train.py experiment=tiny_clip`; see conf/train.yaml for every setting."""

from moa.train import main

if __name__ == "__main__":
    main()
