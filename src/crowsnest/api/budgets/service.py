"""Changing budgets: one version at a time, downwards at once, upwards in two steps by two people.

Each change is one transaction. The audit log lies in another database, so its entry is durable before the change is committed:
a change without an entry cannot be; an entry whose change failed is followed by one that says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import RowMapping, Select, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crowsnest.api.audit.store import AuditStore, Entry
from crowsnest.api.budgets.schemas import NewCap
from crowsnest.api.postgres import Postgres
from crowsnest.api.problems import Problem
from crowsnest.api.schema.tables import BUDGET_CHANGES, BUDGET_REQUESTS, BUDGET_USAGE, BUDGETS

RAISE_MINUTES: Final = 15
PENDING: Final = "pending"


class Who:
    """Somebody who changes a budget.

    Args:
        name: as the audit log has it.
        address: from where.
        is_machine: whether it is a token.
        is_alone: whether there is no other operator who could confirm.
    """

    def __init__(self, name: str, address: str, *, is_machine: bool, is_alone: bool) -> None:
        self.name, self.address = name, address
        self.is_machine, self.is_alone = is_machine, is_alone


class BudgetService:
    """Reads and changes budgets."""

    def __init__(self, postgres: Postgres, audit: AuditStore) -> None:
        self._postgres, self._audit = postgres, audit

    async def budgets(self, strategies: Sequence[str] | None) -> list[dict[str, Any]]:
        """All budgets of these strategies; None is all."""
        question = _budgets().order_by(BUDGETS.c.strategy_id)
        if strategies is not None:
            question = question.where(BUDGETS.c.strategy_id.in_(strategies))
        async with self._postgres.reading() as connection:
            return [_shown(row) for row in (await connection.execute(question)).mappings()]

    async def changes(self, strategy_id: str, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Changes of a budget, newest first, one more than `limit` if there are more."""
        question = select(BUDGET_CHANGES).where(BUDGET_CHANGES.c.strategy_id == strategy_id)
        question = question.order_by(BUDGET_CHANGES.c.id.desc()).limit(limit + 1)
        if before is not None:
            question = question.where(BUDGET_CHANGES.c.id < before)
        async with self._postgres.reading() as connection:
            return [dict(row) for row in (await connection.execute(question)).mappings()]

    async def change(self, who: Who, strategy_id: str, wanted: NewCap) -> tuple[dict[str, Any], bool]:
        """Lower a cap, or ask for a raise; the budget, and whether it has changed.

        Raises:
            Problem: there is no such budget, it is another version by now, or a raise is waiting already.
        """
        cap = Decimal(wanted.cap_usd)
        async with self._audited(who, "budgets.change") as (connection, tell):
            now = await _locked(connection, strategy_id)
            detail = {"strategy_id": strategy_id, "from": str(now["cap_usd"]), "to": str(cap), "reason": wanted.reason}
            tell.update(detail, version=wanted.version)
            _must_be(now, wanted.version)
            if cap == now["cap_usd"]:
                raise Problem("invalid-query", f"the cap is {cap} already", "name another")
            lowered = cap < now["cap_usd"]
            tell.update(step="applied" if lowered else "requested")
            if lowered:
                await _apply(connection, now, cap, who.name, None, wanted.reason)
            else:
                await _ask(connection, now, cap, who.name, wanted.reason)
            return await _one(connection, strategy_id), lowered

    async def decide(self, who: Who, request_id: int, *, confirm: bool, strategies: Sequence[str] | None) -> dict[str, Any]:
        """Confirm or reject a raise; the budget.

        Raises:
            Problem: there is none that waits, the budget has changed since, or it needs somebody else.
        """
        requests = BUDGET_REQUESTS.c
        expired: Problem | None = None
        async with self._audited(who, "budgets.confirm" if confirm else "budgets.reject") as (connection, tell):
            found = (
                await connection.execute(select(BUDGET_REQUESTS).where(requests.id == request_id).with_for_update())
            ).mappings().first()  # fmt: skip
            tell.update(request=request_id)
            if found is None or (strategies is not None and found["strategy_id"] not in strategies):
                raise Problem("not-found", f"there is no raise {request_id}", "read the budgets")
            tell.update(strategy_id=found["strategy_id"], to=str(found["cap_usd"]), asked_by=found["requested_by"])
            if found["state"] != PENDING:
                raise Problem("conflict", f"this raise is {found['state']} by {found['decided_by']}", "read the budgets again")
            now = await _locked(connection, found["strategy_id"])
            if _is_over(found["requested"]):
                expired = Problem(
                    "conflict", f"this raise has waited for more than {RAISE_MINUTES} minutes", "ask for it again"
                )
                tell.update(step="expired")
                await _end(connection, request_id, "expired", who.name)
            elif confirm:
                self._may_confirm(who, found)
                _must_be(now, found["base_version"])
                await _end(connection, request_id, "confirmed", who.name)
                await _apply(connection, now, found["cap_usd"], found["requested_by"], who.name, found["reason"])
                tell.update(step="applied", alone=who.name == found["requested_by"])
            else:
                await _end(connection, request_id, "rejected", who.name)
                tell.update(step="rejected")
            budget = await _one(connection, found["strategy_id"])
        if expired:
            raise expired
        return budget

    @staticmethod
    def _may_confirm(who: Who, found: RowMapping) -> None:
        if who.is_machine:
            raise Problem("forbidden", "a token cannot confirm a raise", "a person signs in and confirms it")
        if who.name == found["requested_by"] and not who.is_alone:
            raise Problem("forbidden", "whoever asks for a raise does not confirm it", "another operator confirms it")

    @asynccontextmanager
    async def _audited(self, who: Who, action: str) -> AsyncIterator[tuple[AsyncConnection, dict[str, Any]]]:
        """A transaction whose audit entry is durable before it is committed; what is refused or fails is noted, too."""
        detail: dict[str, Any] = {}
        allowed = False
        try:
            async with self._postgres.writing() as connection:
                yield connection, detail
                await self._audit.append(Entry(who.name, who.address, action, "allowed", detail))
                allowed = True
        except Problem as problem:
            outcome = f"failed:{problem.kind}" if allowed else f"refused:{problem.kind}"
            await self._audit.append(Entry(who.name, who.address, action, outcome, {**detail, "why": problem.detail}))
            raise


def _budgets() -> Select[Any]:
    """Budgets with what the engine says of them, and the raise that waits."""
    usage, requests = BUDGET_USAGE.c, BUDGET_REQUESTS.c
    # One that was asked for at an earlier version can no more be confirmed.
    waits = and_(
        requests.strategy_id == BUDGETS.c.strategy_id,
        requests.base_version == BUDGETS.c.version,
        requests.state == PENDING,
    )
    return (
        select(
            BUDGETS,
            usage.used_usd,
            usage.denied_total,
            usage.applied_version,
            func.extract("epoch", func.now() - usage.updated).label("usage_age_seconds"),
            *(column.label(f"pending_{column.name}") for column in requests),
        )
        .select_from(BUDGETS)
        .outerjoin(BUDGET_USAGE, usage.strategy_id == BUDGETS.c.strategy_id)
        .outerjoin(BUDGET_REQUESTS, waits)
    )


def _shown(row: RowMapping) -> dict[str, Any]:
    budget = {name: value for name, value in row.items() if not name.startswith("pending_")}
    if (age := budget["usage_age_seconds"]) is not None:
        budget["usage_age_seconds"] = round(float(age), 3)
    raised = {name.removeprefix("pending_"): value for name, value in row.items() if name.startswith("pending_")}
    waits = raised["id"] is not None and not _is_over(raised["requested"])
    expires = raised["requested"] + timedelta(minutes=RAISE_MINUTES) if waits else None
    return {**budget, "pending": {**raised, "expires": expires} if waits else None}


async def _one(connection: AsyncConnection, strategy_id: str) -> dict[str, Any]:
    row = (await connection.execute(_budgets().where(BUDGETS.c.strategy_id == strategy_id))).mappings().one()
    return _shown(row)


async def _locked(connection: AsyncConnection, strategy_id: str) -> RowMapping:
    """A budget that nobody else changes until the transaction ends."""
    question = select(BUDGETS).where(BUDGETS.c.strategy_id == strategy_id).with_for_update()
    found = (await connection.execute(question)).mappings().first()
    if found is None:
        raise Problem("not-found", f"there is no budget of {strategy_id!r}", "the engine makes one for each strategy it runs")
    return found


def _must_be(now: RowMapping, version: int) -> None:
    if now["version"] != version:
        raise Problem(
            "conflict",
            f"the budget of {now['strategy_id']} has version {now['version']} by now: {now['cap_usd']} dollars,"
            f" changed by {now['changed_by']} ({now['reason']}); you looked at version {version}",
            "read it again, and decide anew",
        )


async def _apply(
    connection: AsyncConnection, now: RowMapping, cap: Decimal, by: str, confirmed_by: str | None, reason: str
) -> None:
    version, changed = now["version"] + 1, datetime.now(UTC)
    await connection.execute(
        update(BUDGETS)
        .where(BUDGETS.c.strategy_id == now["strategy_id"])
        .values(cap_usd=cap, version=version, changed=changed, changed_by=by, reason=reason)
    )
    await connection.execute(
        insert(BUDGET_CHANGES).values(
            strategy_id=now["strategy_id"],
            version=version,
            cap_usd=cap,
            previous_usd=now["cap_usd"],
            changed=changed,
            changed_by=by,
            confirmed_by=confirmed_by,
            reason=reason,
        )
    )


async def _ask(connection: AsyncConnection, now: RowMapping, cap: Decimal, by: str, reason: str) -> None:
    requests = BUDGET_REQUESTS.c
    waiting = select(BUDGET_REQUESTS).where(requests.strategy_id == now["strategy_id"], requests.state == PENDING)
    for row in (await connection.execute(waiting)).mappings():
        if row["base_version"] == now["version"] and not _is_over(row["requested"]):
            raise Problem(
                "conflict",
                f"a raise of {now['strategy_id']} to {row['cap_usd']} dollars by {row['requested_by']} waits already",
                "confirm or reject that one first",
            )
        await _end(connection, row["id"], "expired", by)
    await connection.execute(
        insert(BUDGET_REQUESTS).values(
            strategy_id=now["strategy_id"],
            base_version=now["version"],
            cap_usd=cap,
            reason=reason,
            requested_by=by,
            requested=datetime.now(UTC),
            state=PENDING,
        )
    )


async def _end(connection: AsyncConnection, request_id: int, state: str, by: str) -> None:
    values = {"state": state, "decided_by": by, "decided": datetime.now(UTC)}
    await connection.execute(update(BUDGET_REQUESTS).where(BUDGET_REQUESTS.c.id == request_id).values(**values))


def _is_over(requested: datetime) -> bool:
    return datetime.now(UTC) - requested > timedelta(minutes=RAISE_MINUTES)
