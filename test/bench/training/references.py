"""The references: a training loop as one writes it by hand, and HF Trainer. Same model, tokens, batch, optimiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from beamtime_runner.models import build_config, build_model


def plain_loop(job: dict[str, Any], tokens: np.ndarray, vocabulary: int, device: torch.device) -> None:
    """In the manner of nanoGPT's train.py: random windows, one forward, one backward, clip, AdamW, log the loss."""
    training, context = job["training"], job["model"]["contextTokens"]
    model = build_model(build_config(job["model"], vocabulary, 0), job["seeds"]["initialisation"]).to(device)
    model.train()
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=training["learningRate"], betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    forward = torch.compile(model) if job["runtime"]["compile"] else model
    bfloat16 = training["dtype"] == "bfloat16"
    for step in range(training["steps"]):
        starts = torch.randint(len(tokens) - context - 1, (training["batchSequences"],)).tolist()
        inputs = torch.stack([torch.from_numpy(tokens[i : i + context].astype(np.int64)) for i in starts])
        targets = torch.stack([torch.from_numpy(tokens[i + 1 : i + 1 + context].astype(np.int64)) for i in starts])
        inputs, targets = inputs.to(device), targets.to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16):
            logits = forward(input_ids=inputs, use_cache=False).logits
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 10 == 0:
            loss.item()
    if device.type == "cuda":
        torch.cuda.synchronize()


class _Windows(torch.utils.data.Dataset):
    def __init__(self, tokens: np.ndarray, context: int):
        self.tokens, self.context = tokens, context

    def __len__(self) -> int:
        return len(self.tokens) // self.context

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        window = self.tokens[index * self.context : (index + 1) * self.context].astype(np.int64)
        return {"input_ids": torch.from_numpy(window), "labels": torch.from_numpy(window)}


def hf_trainer(job: dict[str, Any], tokens: np.ndarray, vocabulary: int, device: torch.device, output: Path) -> Any:
    """A function that trains, with everything built; needs the package accelerate."""
    from transformers import Trainer, TrainingArguments

    training = job["training"]
    model = build_model(build_config(job["model"], vocabulary, 0), job["seeds"]["initialisation"])
    arguments = TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=training["batchSequences"],
        max_steps=training["steps"],
        learning_rate=training["learningRate"],
        lr_scheduler_type="cosine",
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        logging_steps=10,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        bf16=training["dtype"] == "bfloat16",
        torch_compile=job["runtime"]["compile"],
        use_cpu=device.type == "cpu",
    )
    return Trainer(model=model, args=arguments, train_dataset=_Windows(tokens, job["model"]["contextTokens"])).train
