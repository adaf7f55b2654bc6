"""llama_factory.py BASE ROWS STEPS METHOD: LLaMA-Factory's own run_exp, as its CLI calls it, in bf16."""

import json
import sys
import tempfile
from pathlib import Path

from clock import BATCH, LENGTH, RANK, RATE, Clock
from llamafactory.train.tuner import run_exp

base, file, steps, method = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
clock = Clock()
with tempfile.TemporaryDirectory() as folder:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    data = [
        {"instruction": row["prompt"], "input": "", "output": row["completion"]} for row in rows
    ]
    (Path(folder) / "rows.json").write_text(json.dumps(data))
    (Path(folder) / "dataset_info.json").write_text(
        json.dumps({"rows": {"file_name": "rows.json"}})
    )
    run_exp(
        {
            "model_name_or_path": base, "stage": "sft", "do_train": True, "finetuning_type": method,
            "lora_rank": RANK, "lora_alpha": 2 * RANK, "lora_target": "all", "template": "chatml",
            "dataset": "rows", "dataset_dir": folder, "cutoff_len": LENGTH, "output_dir": folder + "/out",
            "per_device_train_batch_size": BATCH, "gradient_accumulation_steps": 1,
            "learning_rate": RATE, "lr_scheduler_type": "constant", "max_steps": steps, "bf16": True,
            "logging_steps": 1, "save_strategy": "no", "report_to": "none", "use_cpu": True,
            "disable_shuffling": True, "disable_tqdm": True,
        },
        callbacks=[clock],
    )  # fmt: skip
clock.tell()
