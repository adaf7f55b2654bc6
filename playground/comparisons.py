"""The verbs of a comparison: begin it, ask all its models, keep their replies and the user's votes.

Where names are hidden, replies are shuffled when the question is asked, and nothing here that goes to
a page says whose a reply is until the vote is cast.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from playground import conversations, homes
from playground.homes import Choices
from playground.models import Comparison, Contender, Reply, Round
from playground.parameters import Parameters, checked_system_prompt
from training import chat
from training.errors import UserError

LEAST, MOST = 2, 4
"""Models of a comparison."""


@dataclass(frozen=True)
class Question:
    """A checked question, and what it is asked under."""

    text: str
    system_prompt: str
    parameters: Parameters
    is_blind: bool

    @classmethod
    def parse(cls, form: Mapping[str, str], text: str | None = None) -> "Question":
        """Take what a form says; `text` stands for the form's own.

        Raises: UserError naming what is out of bounds.
        """
        return cls(
            text=conversations.checked_text(form.get("text", "") if text is None else text),
            system_prompt=checked_system_prompt(form.get("system_prompt", "")),
            parameters=Parameters.parse(dict(form.items())),
            is_blind=bool(form.get("blind")),
        )


@dataclass(frozen=True)
class Column:
    """What one model is to answer."""

    reply: Reply
    model: str
    messages: list[chat.Message]
    parameters: Parameters
    problem: UserError | None
    """Why it can't, where that is known beforehand."""


def suggested(choices: Choices, wanted: Sequence[str]) -> list[str]:
    """Return the models that a comparison begins with: those wanted, else the first of the user's; a
    lone one with what it was made from, or else with a base."""
    found = [name for name in dict.fromkeys(wanted) if choices.label(name)] or [choices.first]
    if len(found) < LEAST:
        found += [name for name in _kin(found[0]) if choices.label(name)]
    if len(found) < LEAST:
        found += [base.name for base in choices.bases if base.name not in found][:1]
    return found[:MOST]


def _kin(name: str) -> list[str]:
    """Return the base of a tuned model, and the model that it was trained further from."""
    job = homes.job(name)
    return [f"base:{job.base}", f"tuned:{job.foundation_id}"] if job else []


@transaction.atomic
def create(owner: Any, models: Sequence[str], question: Question) -> Comparison:
    """Begin a comparison with its first question, which waits for a listener.

    Raises: UserError("compared_count"), UserError("compared_twice"), UserError("model_unknown").
    """
    if not LEAST <= len(models) <= MOST:
        raise UserError("compared_count", least=LEAST, most=MOST)
    if len(set(models)) < len(models):
        raise UserError("compared_twice")
    choices = homes.choices(owner)
    for name in models:
        choices.allow(name)
    made = Comparison.objects.create(owner=owner, title=conversations.title_of(question.text))
    for name in models:
        made.contenders.create(model=name, label=choices.label(name))
    ask(made, question)
    return made


@transaction.atomic
def ask(comparison: Comparison, question: Question) -> Round:
    """Add a round whose replies are still empty.

    Raises: UserError("conversation_gone").
    """
    kept = {
        "system_prompt": question.system_prompt,
        "parameters": question.parameters.as_dict(),
        "is_blind": question.is_blind,
        "updated_at": timezone.now(),
    }
    # holds the row till we are done
    if not Comparison.objects.filter(pk=comparison.pk).update(**kept):
        raise UserError("conversation_gone")
    number = comparison.rounds.count() + 1
    made = comparison.rounds.create(
        number=number, question=question.text, is_blind=question.is_blind
    )
    contenders = list(comparison.contenders.all())
    if question.is_blind:
        random.SystemRandom().shuffle(contenders)
    for place, contender in enumerate(contenders):
        made.replies.create(contender=contender, place=place)
    return made


def set_aside(asked: Round) -> None:
    """Have models see a round no more: its question is asked again."""
    asked.is_set_aside = True
    asked.save(update_fields=["is_set_aside"])


def begin(comparison: Comparison, number: int) -> list[Column]:
    """Return what each model is to answer in a round that nobody has begun yet.

    Raises: UserError("message_gone") where somebody has.
    """
    waiting = comparison.rounds.filter(number=number, begun_at=None)
    if not waiting.update(begun_at=timezone.now()):
        raise UserError("message_gone")
    until = shown(comparison).filter(number__lte=number)
    past = list(until.exclude(is_set_aside=True, number__lt=number))
    choices = homes.choices(comparison.owner_id)
    parameters = Parameters.parse(comparison.parameters)
    columns = []
    for reply in past[-1].replies.all():
        name = reply.contender.model
        problem = None if choices.label(name) else UserError("model_unknown", model=name)
        messages = history(comparison, past, reply.contender)
        columns.append(Column(reply, name, messages, parameters, problem))
    return columns


def history(
    comparison: Comparison, past: Sequence[Round], contender: Contender
) -> list[chat.Message]:
    """Return the rounds up to the last one's question as a model sees them, with its own replies."""
    told = []
    for one in past:
        told.append(chat.Message("user", one.question))
        own = next(reply for reply in one.replies.all() if reply.contender_id == contender.pk)
        if own.content and one is not past[-1]:
            told.append(chat.Message("assistant", own.content))
    return conversations.as_seen(told, comparison.system_prompt)


def keep(reply: Reply, text: str, usage: dict, problem: UserError | None) -> None:
    """Keep what a model said, and why it said no more; nothing where the comparison is gone."""
    reply.content, reply.usage = text, usage
    reply.error = problem.as_dict() if problem else None
    Reply.objects.filter(pk=reply.pk).update(content=text, usage=usage, error=reply.error)


def vote(asked: Round, choice: str) -> None:
    """Keep a vote: "tie", "none", or "best:PLACE". With hidden names there is one; else the last counts.

    Raises: UserError("vote_impossible").
    """
    kind, _colon, place = choice.partition(":")
    best = int(place) if kind == Round.Vote.BEST and place in ("0", "1", "2", "3") else None
    said = asked.replies.exclude(content="")
    is_sound = kind in Round.Vote.values and (kind != Round.Vote.BEST or best is not None)
    if not is_sound or (best is not None and not said.filter(place=best).exists()):
        raise UserError("vote_impossible")
    voting = Round.objects.filter(
        Q(is_blind=False) | Q(vote=""), pk=asked.pk, begun_at__lt=timezone.now()
    )
    if not voting.update(vote=kind, best=best):
        raise UserError("vote_impossible")


def shown(comparison: Comparison) -> QuerySet[Round]:
    """Return the rounds with all that a page shows of them."""
    return comparison.rounds.prefetch_related("replies__contender")


def hides(comparison: Comparison) -> bool:
    """Say whether names of a round are still hidden."""
    return comparison.rounds.filter(is_blind=True, vote="").exists()


# --- what came of it ----------------------------------------------------------------------------


@dataclass
class Tally:
    """Votes of rounds that a model took part in."""

    votes: int = 0
    wins: int = 0
    ties: int = 0

    @property
    def share(self) -> float:
        return self.wins / self.votes if self.votes else 0.0


@dataclass
class Standing:
    label: str
    blind: Tally
    open: Tally


def standings(replies: QuerySet[Reply], choices: Choices) -> list[Standing]:
    """Return how often each model won of how many votes; the best of the blind votes first. Models that
    are still there go by the name that they have now."""
    found: dict[str, Standing] = {}
    counted = (
        replies.exclude(round__vote="")
        .values("contender__model", "contender__label", "round__is_blind")
        .annotate(
            votes=Count("pk"),
            wins=Count("pk", filter=Q(round__best=F("place"))),
            ties=Count("pk", filter=Q(round__vote=Round.Vote.TIE)),
        )
    )
    for row in counted:
        name = row["contender__model"]
        fresh = Standing(choices.label(name) or row["contender__label"], Tally(), Tally())
        standing = found.setdefault(name, fresh)
        tally = standing.blind if row["round__is_blind"] else standing.open
        tally.votes += row["votes"]
        tally.wins += row["wins"]
        tally.ties += row["ties"]
    return sorted(found.values(), key=lambda one: (-one.blind.share, -one.open.share, one.label))


def table(replies: QuerySet[Reply]) -> Iterator[Sequence[str]]:
    """Yield the columns' names and then a row for each reply; hidden names stay so."""
    yield _("질문"), _("모델"), _("AI가 생성한 답변"), _("투표"), _("묻는 방법")
    rows = replies.select_related("round", "contender").order_by("round_id", "place")
    for reply in rows.iterator():
        asked = reply.round
        is_named = asked.vote != Round.Vote.BEST or reply.is_best
        way = _("이름 가림") if asked.is_blind else _("이름 공개")
        voted = str(asked.get_vote_display()) if is_named else ""
        yield asked.question, reply.name, reply.content, voted, way
