"""Which TCP ports of an address answer: run in the network to look from.

``python scan.py SECONDS ADDRESS …`` prints {"address": [port, …]} as JSON. A port that refuses or is silent is not listed. The
kernel sends a second request after one second, so SECONDS above one forgive one lost packet.
"""

import asyncio
import json
import resource
import sys

PORTS = range(1, 65536)
OPEN_FILES = 4096


async def scan(address: str, seconds: float, at_once: asyncio.Semaphore) -> list[int]:
    async def answers(port: int) -> bool:
        async with at_once:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), seconds)
            except (OSError, TimeoutError):
                return False
            writer.close()
            return True

    found = await asyncio.gather(*map(answers, PORTS))
    return [port for port, answered in zip(PORTS, found, strict=True) if answered]


async def main(seconds: float, addresses: list[str]) -> dict[str, list[int]]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    at_once = asyncio.Semaphore(limit - 100)
    return dict(zip(addresses, await asyncio.gather(*(scan(one, seconds, at_once) for one in addresses)), strict=True))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(float(sys.argv[1]), sys.argv[2:]))))
