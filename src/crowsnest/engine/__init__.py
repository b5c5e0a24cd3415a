"""The `trader` component: NautilusTrader strategies over real historical bars, replayed in wall-clock time.

`python -m crowsnest.engine` runs it. This file imports nothing, because `--check-heartbeat` must stay cheap.
"""
