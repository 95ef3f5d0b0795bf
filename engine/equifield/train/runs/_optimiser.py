"""The optimiser of a recipe."""

import math

import optax

from .recipe import Training


def optimiser(training: Training, samples: int) -> optax.GradientTransformation:
    """AdamW with clipped gradients along a schedule of the learning rate, over accumulated batches where asked for."""
    updates = max(1, training.epochs * math.ceil(samples / training.batch_size) // training.accumulate)
    rise, rate = round(training.warmup * updates), training.learning_rate
    start = 0.0 if rise else rate
    schedule = (
        optax.warmup_cosine_decay_schedule(start, rate, rise, updates)
        if training.schedule == "cosine"
        else optax.warmup_constant_schedule(start, rate, rise)
    )
    clip = optax.identity() if training.clip is None else optax.clip_by_global_norm(training.clip)
    chain = optax.chain(clip, optax.adamw(schedule, weight_decay=training.weight_decay))
    if training.accumulate == 1:
        return chain
    return optax.MultiSteps(chain, every_k_schedule=training.accumulate).gradient_transformation()
