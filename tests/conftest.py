"""What all tests share."""

from __future__ import annotations

import signal

# Job runners and background shells ignore Ctrl-C for what they start; the tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
