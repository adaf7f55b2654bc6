"""hugging_face.py BASE TOKENS STEPS METHOD: Trainer with dynamic padding in bf16 autocast, LoRA by PEFT.

TOKENS is a file of {"ids", "labels"}, one example a line.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from clock import RANK, Clock, options
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
)

base, tokens, steps, method = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
if method == "lora":
    lora = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, lora)
rows = [
    {"input_ids": row["ids"], "labels": row["labels"], "attention_mask": [1] * len(row["ids"])}
    for row in map(json.loads, tokens.read_text().splitlines())
]
clock = Clock()
with tempfile.TemporaryDirectory() as folder:
    Trainer(
        model=model,
        args=TrainingArguments(**options(folder, steps), bf16=True),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(base)),
        callbacks=[clock],
    ).train()
clock.tell()
