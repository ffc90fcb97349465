"""Draws subjects from their pictures: `python infer.py "prompt=<alice> in the snow" subjects.alice=a.png`; see conf/infer.yaml."""

from moa.infer import main

if __name__ == "__main__":
    main()
