"""trl_sft.py BASE ROWS STEPS METHOD: TRL's SFTTrainer as it comes, on prompts and completions.

ROWS is a file of {"prompt", "completion"}, one example a line.
"""

import json
import sys
import tempfile
from pathlib import Path

from clock import RANK, Clock, options
from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

base, file, steps, method = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rows = [
    {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }
    for row in map(json.loads, file.read_text().splitlines())
]
lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
clock = Clock()
with tempfile.TemporaryDirectory() as folder:
    SFTTrainer(
        model=base,
        args=SFTConfig(**options(folder, steps)),
        train_dataset=Dataset.from_list(rows),
        peft_config=lora if method == "lora" else None,
        callbacks=[clock],
    ).train()
clock.tell()
