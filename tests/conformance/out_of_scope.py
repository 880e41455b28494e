"""Tests of Azure's that are not run against the emulator, each with its reason.

Names are as pytest shows them, without the parameters. A name that no test has any more fails the
run, so that the list cannot outlive its reasons.
"""

_WEBSOCKETS = "AMQP over websockets, which the emulator refuses, on port 443"

OUT_OF_SCOPE: dict[str, str] = {}
