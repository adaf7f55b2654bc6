"""One training run: a run folder goes in, JSON lines and a result folder come out.

`python -m training.trainer RUN_FOLDER --attempt N`. Knows torch, transformers and PEFT; no Django,
no database, no queue. SIGTERM: write a checkpoint and exit with 75.
"""
