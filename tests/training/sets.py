"""What the tests of training sets share."""

import pytest

from vdsrlib.protocol import PAPER, REPLICATION

SCALES = (2.0, 2.5, 3.0)
PATCH = 16
BATCH = 64
PROTOCOLS = pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
