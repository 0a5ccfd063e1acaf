#!/usr/bin/env python3
"""Trains the model from nothing, or goes on from a checkpoint through a recipe's attention.

    train.py --plan base --seed 0 --out out/base-0
    train.py --plan finetune --from weights/base-0.safetensors --kernel fine_qat --out out/qat-0

Stopped, it goes on where it was when the same command is given again. The weights that are written
are the running mean of the run's (BF16). One thread: same plan and seed, same bytes."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import checkpoint
import data
import flow
import kernels
import torch
from model import Shape, VideoDiT

HERE = Path(__file__).parent
VIDEOS_OF_A_SEED = 10**7  # training seed s sees videos s*10^7, s*10^7 + 1, ...


@dataclass(frozen=True)
class Phase:
    """A stretch of training at one size."""

    steps: int
    batch: int
    coarser: int  # frames are averaged over squares of this many pixels


@dataclass(frozen=True)
class Plan:
    phases: tuple[Phase, ...]
    rate: float  # AdamW's, after `warm_up` steps, until the last `cool_down` share falls to 0
    warm_up: int
    cool_down: float
    mean_decay: float  # of the running mean of the weights
    no_class: float
    clip: float
    first_video: int = 0  # of the training seed's own, so that plans need not share any

    @staticmethod
    def named(name: str) -> Plan:
        fields = json.loads((HERE / "plans.json").read_text())[name]
        return Plan(**{**fields, "phases": tuple(Phase(**x) for x in fields["phases"])})

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase(self, step: int) -> tuple[Phase, int]:
        """The phase of a step, and how many videos came before the step."""
        seen = 0
        for phase in self.phases:
            if step < phase.steps:
                return phase, seen + step * phase.batch
            step, seen = step - phase.steps, seen + phase.steps * phase.batch
        raise IndexError(step)

    def work(self, step: int) -> float:
        """Of all steps before this one, in videos of full size: what time is guessed from."""
        total = 0.0
        for phase in self.phases:
            total += min(step, phase.steps) * phase.batch / phase.coarser**2
            step = max(0, step - phase.steps)
        return total

    def rate_at(self, step: int) -> float:
        left = (self.steps - step) / (self.cool_down * self.steps)
        return self.rate * min(1.0, (step + 1) / self.warm_up, left)


class Run:
    """All that a training run is: what a resumed one needs to go on with the same bits."""

    def __init__(self, plan: Plan, seed: int, model: VideoDiT, about: dict[str, str]) -> None:
        self.plan, self.seed, self.model = plan, seed, model
        self.about = about  # the command: plan's name, kernel, weights it goes on from
        self.step = 0
        self.losses: list[float] = []
        self.seconds = 0.0  # of processor time
        self.random = torch.Generator().manual_seed(seed)
        self.mean = {name: x.detach().clone() for name, x in model.state_dict().items()}
        wide = [x for x in model.parameters() if x.ndim > 1]
        narrow = [x for x in model.parameters() if x.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": wide, "weight_decay": 0.01}, {"params": narrow, "weight_decay": 0.0}],
            betas=(0.9, 0.98),
        )

    def advance(self) -> float:
        phase, seen = self.plan.phase(self.step)
        first = self.seed * VIDEOS_OF_A_SEED + self.plan.first_video + seen
        videos, labels = data.batch("train", range(first, first + phase.batch))
        video = torch.from_numpy(videos)
        if phase.coarser > 1:
            video = torch.nn.functional.avg_pool3d(video, (1, phase.coarser, phase.coarser))
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        self.optimiser.zero_grad()
        lost = flow.loss(
            self.model, video, torch.from_numpy(labels), self.random, no_class=self.plan.no_class
        )
        lost.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)
        self.optimiser.step()
        self.step += 1
        decay = min(self.plan.mean_decay, self.step / (self.step + 10))
        with torch.no_grad():
            for name, x in self.model.state_dict().items():
                self.mean[name].lerp_(x, 1 - decay)
        self.losses.append(lost.item())
        return self.losses[-1]

    @property
    def identity(self) -> dict:
        """What a state must agree in."""
        return {"plan": asdict(self.plan), "seed": self.seed, "about": self.about}

    def state(self) -> dict:
        return {
            "identity": self.identity,
            "step": self.step, "losses": self.losses, "seconds": self.seconds, "mean": self.mean,
            "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
            "random": self.random.get_state(),
        }  # fmt: skip

    def restore(self, state: dict) -> None:
        """Raises ValueError for the state of another run."""
        found = state.get("identity", {})
        differ = [name for name, value in self.identity.items() if found.get(name) != value]
        if differ:
            raise ValueError(f"its state is of another run: {', '.join(differ)} differs")
        self.step, self.losses, self.mean = state["step"], state["losses"], state["mean"]
        self.seconds = state["seconds"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.random.set_state(state["random"])

    def averaged(self) -> VideoDiT:
        model = VideoDiT(self.model.shape)
        model.load_state_dict(self.mean)
        return model.eval()


def train(run: Run, folder: Path, *, every: float) -> None:
    """To the plan's end; the state is kept every `every` seconds, so a stopped run goes on.

    Raises ValueError where the folder holds another run."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "state.pt"
    if kept.exists():
        try:
            run.restore(checkpoint.load_state(kept))
        except ValueError as problem:
            raise ValueError(f"{folder}: {problem}; give a folder of its own") from None
    begun, first, saved = time.time(), run.step, time.time()
    while run.step < run.plan.steps:
        before = time.process_time()
        run.advance()
        run.seconds += time.process_time() - before
        if time.time() - saved > every or run.step == run.plan.steps:
            checkpoint.save_state(kept, run.state())
            saved = time.time()
        if run.step % 20 == 0:
            recent = run.losses[-20:]
            done, whole = (run.plan.work(n) for n in (run.step, run.plan.steps))
            left = (time.time() - begun) / (done - run.plan.work(first)) * (whole - done)
            print(
                f"step {run.step}/{run.plan.steps}  loss {sum(recent) / len(recent):.4f}  "
                f"{run.seconds:.0f} s of processor time  {left / 60:.1f} minutes left",
                flush=True,
            )
    notes = run.about | {"loss": f"{sum(run.losses[-50:]) / len(run.losses[-50:]):.5f}"}
    checkpoint.save_weights(folder / "weights.safetensors", run.averaged(), about=notes)
    (folder / "training.json").write_text(
        json.dumps({**notes, "processor_seconds": run.seconds, "losses": run.losses}) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", default="base", help="a row of plans.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", dest="start", help="weights to go on from")
    parser.add_argument("--kernel", default="dense", help="a row of kernels.json")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(given.seed)
    model = checkpoint.load_weights(given.start)[0] if given.start else VideoDiT(Shape())
    about = {"plan": given.plan, "seed": str(given.seed), "kernel": given.kernel}
    if given.start:
        about["from"] = f"{Path(given.start).stem} {checkpoint.digest(given.start)[:16]}"
    try:
        with kernels.used(model.train(), given.kernel):
            train(Run(Plan.named(given.plan), given.seed, model, about), given.out, every=60)
    except ValueError as problem:
        raise SystemExit(f"train.py: {problem}") from None


if __name__ == "__main__":
    main()
