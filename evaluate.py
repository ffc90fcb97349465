"""Measures an adapter, the prior, the autoencoder or the reader: `python evaluate.py`; see conf/evaluate.yaml for every setting."""

from moa.evaluate import main

if __name__ == "__main__":
    main()
