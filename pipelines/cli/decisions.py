"""Commands by which people overrule, mend and take back: rebuild, accept, withdraw, publish."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from pipelines.cli.terminal import command, console, watched
from pipelines.deployment import Deployment
from pipelines.machine import logs
from pipelines.settings import Settings

READERS_LATER = "readers see it after the next run, or `citybrain publish`"


@command()
def rebuild(
    source: Annotated[str, typer.Argument(help="The source whose contract changed.")],
    force: Annotated[
        bool, typer.Option("--force", help="Go on even if data in force is lost by it.")
    ] = False,
) -> None:
    """Judge a source's whole archive by its contract of today and replace its table.

    Example: `citybrain rebuild data_records`, then `citybrain publish`
    """
    from pipelines.jobs import repairs

    deployment = Deployment.load(Settings())
    logs.to_folder(deployment.settings.logs)
    with watched() as progress:
        judgements = repairs.rebuild(deployment, source, progress, force)
    counts = Counter(judgement.verdict.value for judgement in judgements)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    console.print(f"rebuilt {source} from {len(judgements)} deliveries: {verdicts or 'none'}")
    console.print(READERS_LATER)


@command()
def accept(
    delivery: Annotated[str, typer.Argument(help="Its id, or how the id starts.")],
    reason: Annotated[str, typer.Option(help="Why; recorded in the ledger.")],
) -> None:
    """Overrule a held or rejected delivery: its good rows are loaded. Rebuilds honour it.

    Example: `citybrain accept 3f2a91c0 --reason "confirmed with 市公安局 by phone"`
    """
    from pipelines.jobs import repairs

    deployment = Deployment.load(Settings())
    logs.to_folder(deployment.settings.logs)
    judgement = repairs.accept(deployment, delivery, reason)
    accepted = judgement.accounting.accepted if judgement.accounting else 0
    console.print(f"{judgement.delivery}: {judgement.verdict.value}, {accepted} rows accepted")
    console.print(READERS_LATER)


@command()
def withdraw(
    delivery: Annotated[str, typer.Argument(help="Its id, or how the id starts.")],
    reason: Annotated[str, typer.Option(help="Why; recorded in the ledger.")],
) -> None:
    """Take a delivery's rows out of the warehouse. Recorded; rebuilds honour it.

    Example: `citybrain withdraw 3f2a91c0 --reason "sent by mistake"`
    """
    from pipelines.jobs import repairs

    deployment = Deployment.load(Settings())
    logs.to_folder(deployment.settings.logs)
    rows = repairs.withdraw(deployment, delivery, reason)
    console.print(
        f"withdrew {rows} rows: its days now have no data of {delivery}; to undo, submit it again"
    )
    console.print(READERS_LATER)


@command()
def publish(
    unpin: Annotated[
        bool, typer.Option("--unpin", help="End a rollback: readers get the newest again.")
    ] = False,
) -> None:
    """Publish the warehouse as it is now: build, verify, put in place.

    Example: `citybrain publish`, or `citybrain publish --unpin` after a rollback
    """
    from pipelines.jobs import night

    deployment = Deployment.load(Settings())
    logs.to_folder(deployment.settings.logs)
    generation = night.publish(deployment, unpin=unpin)
    where = "in place" if generation.in_place else "built; readers stay pinned, see --unpin"
    console.print(f"generation {generation.number} {where}: {generation.path}", soft_wrap=True)


@command()
def rollback(
    generation: Annotated[
        int | None, typer.Option(help="Which to go back to [default: the one before].")
    ] = None,
) -> None:
    """Put an older generation in place and pin readers to it.

    Runs go on building generations; `citybrain publish --unpin` lets readers have them again.

    Example: `citybrain rollback`, or `citybrain rollback --generation 41`
    """
    from pipelines.warehouse import publish as generations

    placed = generations.rollback(Settings(), generation)
    console.print(f"readers are pinned to generation {placed.number}: {placed.path}")
