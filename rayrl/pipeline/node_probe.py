"""Asks every node of a cluster, before work is sent there, whether it shares the run folder.

``python -m rayrl.pipeline.node_probe DIR NONCE NODE… [--env ID]`` is the job by which a controller that is
no node of the cluster asks; the mark is then its own. In a stage that was submitted by hand, the stage's
process asks. A task on each node takes no CPU and no GPU. Nodes that come later ask themselves, by
``check_here``, before something of a stage reads or writes the folder there.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import ray
from ray.exceptions import RayError, RayTaskError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayrl.envs.spec import import_env_module
from rayrl.errors import EnvError, RayrlError, ResourceError
from rayrl.pipeline import stage_error
from rayrl.pipeline.records import ROOT
from rayrl.pipeline.shared_folder import Mark, marked, node_name, not_shared

_TIMEOUT_S = 120.0
"""Seconds for a node to start a process with the job's environment, and to answer."""

_log = logging.getLogger(f"{ROOT}.probe")


def main(arguments: Sequence[str] | None = None) -> int:
    """Asks nodes about a mark; returns the exit code, and prints what is wrong as a stage's job does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("nonce")
    parser.add_argument("nodes", nargs="+")
    parser.add_argument("--env")
    options = parser.parse_args(arguments)
    ray.init(address="auto", logging_level=logging.WARNING, log_to_driver=False)
    try:
        there = alive_nodes()
        asked = {node: there[node] for node in options.nodes if node in there}
        ask_nodes(Mark(options.folder, options.nonce), asked, options.env)
    except RayrlError as error:
        print(f"{error}\n{stage_error.to_line(error)}", file=sys.stderr, flush=True)
        return 1
    finally:
        ray.shutdown()
    return 0


def require_shared(folder: Path, env: str | None = None) -> None:
    """Makes sure that all nodes of this process's cluster share a folder with it.

    Args:
        folder: the folder.
        env: id of an environment whose module they must be able to import, if it names one.

    Raises:
        StorageError: nodes do not, naming them.
        EnvError: a node cannot import that module.
        ResourceError: a node does not answer.
    """
    with marked(folder) as mark:
        nodes = alive_nodes()
        answered = ask_nodes(mark, nodes, env)
        if silent := mark.unanswered(answered):
            raise not_shared([nodes[node] for node in silent], folder)


def alive_nodes() -> dict[str, str]:
    """How to name each node of this process's cluster, by its id."""
    return {
        node["NodeID"]: node_name(node["NodeManagerAddress"], node["NodeID"])
        for node in ray.nodes()
        if node["Alive"]
    }


def check_here(mark: Mark) -> None:
    """Makes sure that the node of this process sees a mark.

    Raises:
        StorageError: it does not.
    """
    if not mark.is_seen():
        raise not_shared([this_node()], mark.folder)


def this_node() -> str:
    """How to name the node of this process."""
    return node_name(ray.util.get_node_ip_address(), ray.get_runtime_context().get_node_id())


def ask_nodes(mark: Mark, nodes: Mapping[str, str], env: str | None = None) -> list[str]:
    """Has each node look for a mark, and answer beside it.

    Args:
        mark: the mark.
        nodes: names by id.
        env: id of an environment whose module they must be able to import, if it names one.

    Returns:
        The ids of those that answered; others have left the cluster meanwhile.

    Raises:
        StorageError: nodes do not see the mark, or cannot write there.
        EnvError: a node cannot import that module.
        ResourceError: a node cannot start a process of the job, or does not answer in time.
    """
    task = ray.remote(num_cpus=0, max_retries=0)(_look)
    asked = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            mark, node, env
        ): node
        for node in nodes
    }
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_TIMEOUT_S)
    answered, blind, faults = [], [], []
    for reference in ready:
        node = asked[reference]
        answer = _answer(reference, nodes[node])
        if answer is None:
            continue
        answered.append(node)
        sees, fault = answer
        if not sees:
            blind.append(nodes[node])
        if fault is not None:
            faults.append(_on_node(nodes[node], fault))
    if blind:
        raise not_shared(blind, mark.folder)
    if faults:
        raise faults[0]
    if late := [nodes[asked[reference]] for reference in late if asked[reference] in alive_nodes()]:
        raise ResourceError(f"{', '.join(late)}: no answer within {_TIMEOUT_S:g} s", where="the cluster")
    return answered


def _answer(reference: ray.ObjectRef, name: str) -> tuple[bool, EnvError | None] | None:
    """What a node found; None where it has left the cluster."""
    try:
        found: tuple[bool, EnvError | None] = ray.get(reference)
    except TaskUnschedulableError:
        _log.warning("node %s has left the cluster", name)
        return None
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, RayrlError):
            raise _on_node(name, cause) from None
        raise ResourceError(f"node {name} cannot run rayrl: {cause!r}", where="the cluster") from None
    except RayError as error:
        raise ResourceError(f"node {name} cannot run rayrl: {error}", where="the cluster") from None
    return found


def _on_node(name: str, error: RayrlError) -> RayrlError:
    return type(error)(f"on node {name}, {error.message}", where=error.where, remedy=error.remedy)


def _look(mark: Mark, node: str, env: str | None) -> tuple[bool, EnvError | None]:
    """On a node: whether it sees the mark, and what keeps it from importing the environment's module."""
    sees = mark.is_seen()
    if sees:
        mark.answer(node)
    try:
        import_env_module(env or "")
    except EnvError as error:
        return sees, error
    return sees, None


if __name__ == "__main__":
    sys.exit(main())
