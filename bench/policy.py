"""What a decision and an explanation cost with 10, 100 and 1,000 policies: `python -m bench.policy`.

The world: 20 servers of 20 tools, 50 groups, a caller in five of them. Policies grant a group a class at a server, as most do; one in ten
reads an argument, one in twenty forbids something everywhere. Nothing is served and nothing is asked; times are those of the processor,
so that a busy machine counts less.
"""

import statistics
import time
from collections.abc import Callable, Iterator

from customhouse.core.identity import Caller, known
from customhouse.core.manifest import Effect
from customhouse.core.policy import ActionRef, Policy, PolicyServer, PolicyTool, compile_policy
from customhouse.core.policyreach import who_can

SERVERS, TOOLS, GROUPS = 20, 20, 50
SIZES = (10, 100, 1_000)
SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}, "to": {"type": "string"}}, "required": ["amount"]}
EFFECTS = (Effect.READ, Effect.READ, Effect.WRITE, Effect.READ, Effect.DESTRUCTIVE)
ARGUMENTS = {"amount": 5, "to": "ada@example.org"}


def servers(count: int = SERVERS, tools_each: int = TOOLS) -> list[PolicyServer]:
    """Tools of all classes at each."""
    tools = tuple(PolicyTool(f"tool-{number}", EFFECTS[number % len(EFFECTS)], SCHEMA) for number in range(tools_each))
    return [PolicyServer(f"server-{number}", "acme", f"team-{number}", tools) for number in range(count)]


def rules(count: int) -> Iterator[str]:
    """As many rules, spread over groups, servers and classes."""
    for number in range(count):
        group, server = f'Group::"acme/group-{number * 7 % GROUPS}"', f'Server::"server-{number % SERVERS}"'
        if number % 20 == 19:
            client = f'when {{ principal.client == "banned-{number}" }}'
            yield f'@id("r{number}") forbid (principal in {group}, action in Action::"destructive", resource) {client};'
        elif number % 10 == 5:
            call = f"call:server-{number % SERVERS}/tool-2"
            limit = f"when {{ context.arguments.amount < {number + 10} }}"
            yield f'@id("r{number}") permit (principal in {group}, action == Action::"{call}", resource in {server}) {limit};'
        else:
            effect = ("read", "write", "read", "destructive")[number % 4]
            yield f'@id("r{number}") permit (principal in {group}, action in Action::"{effect}", resource in {server});'


def callers() -> list[Caller]:
    """A hundred callers, each in five groups."""
    return [
        known(
            Caller(
                issuer="https://idp.example",
                tenant="acme",
                person=f"person-{number}",
                workload="",
                client="cli",
                groups=tuple(sorted(f"group-{(number + step * 9) % GROUPS}" for step in range(5))),
                expires_at=2e9,
            )
        )
        for number in range(100)
    ]


def timed(work: Callable[[], object], rounds: int, at_once: int = 1) -> tuple[float, float]:
    """Median and 90th percentile of doing it once, in microseconds; what is short is done several times in a round."""
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(at_once):
            work()
        taken.append((time.thread_time() - began) * 1e6 / at_once)
    return statistics.median(taken), statistics.quantiles(taken, n=10)[8]


def each(policy: Policy, ask: Callable[[Caller, ActionRef], object]) -> Callable[[], object]:
    """A round: one caller and one tool, the next ones each time."""
    people, refs = callers(), policy.offered()
    turn = iter((people[number % len(people)], refs[(number // len(people) * 13 + number) % len(refs)]) for number in range(10**9))
    return lambda: ask(*next(turn))


def main() -> None:
    """Print one table, with a column per number of policies."""
    print("| | " + " | ".join(f"{count:,} policies" for count in SIZES) + " |\n|---" * 1 + "|---" * len(SIZES) + "|")
    columns = [measured(count) for count in SIZES]
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")
    began = time.thread_time()
    compile_policy({"bench.cedar": "\n".join(rules(SIZES[-1]))}, servers(2_000, 25))
    print(f"\nCompiling {SIZES[-1]:,} policies over 2,000 servers with 50,000 tools: {time.thread_time() - began:.1f} s.")


def measured(count: int, rounds: int = 20_000) -> dict[str, str]:
    """The rows of one column."""
    text, world = "\n".join(rules(count)), servers()
    began = time.thread_time()
    policy = compile_policy({"bench.cedar": text}, world)
    compiled_ms = (time.thread_time() - began) * 1e3
    who = next(one for one in callers() if "group-35" in one.groups)
    kept, paid = policy.tool("server-0", "tool-0"), policy.tool("server-5", "tool-2")
    policy.decide(who, kept, ARGUMENTS, "default", 1.0)
    rows = {
        "first decision of a caller about a tool": timed(
            each(policy, lambda one, ref: policy.decide(one, ref, ARGUMENTS, "default", 1.0)), rounds // 10
        ),
        "decision that was kept": timed(lambda: policy.decide(who, kept, ARGUMENTS, "default", 1.0), rounds // 50, 50),
        "decision that reads arguments": timed(lambda: policy.decide(who, paid, ARGUMENTS, "default", 1.0), rounds // 5),
        "explanation": timed(each(policy, lambda one, ref: policy.explain(one, ref, ARGUMENTS, "default", 1.0)), rounds // 20),
        "who can call a tool": timed(each(policy, lambda _, ref: who_can(policy, ref, 1.0)), rounds // 50),
    }
    return {name: f"{middle:,.1f} µs, p90 {late:,.1f} µs" for name, (middle, late) in rows.items()} | {
        "compiling": f"{compiled_ms:,.0f} ms"
    }


if __name__ == "__main__":
    main()
