"""A temporary folder and a disposable server of its own for every run of the tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# how long an example takes is the machine's
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_ROOT = tempfile.mkdtemp(prefix="orchestrate-tests-")
# registered before anything starts a server, so it runs after the last one has stopped
atexit.register(shutil.rmtree, _ROOT, ignore_errors=True)

# pytest closes its shared folder to others when a run begins; a server that another run is just
# setting up under a system user of its own would lose its way there
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _ROOT)
# tests start, stop and break the disposable server; nobody else's work may depend on that one
os.environ.setdefault("ORCHESTRATE_SCRATCH", _ROOT)
# nor does a server stay when its tests are over
os.environ.setdefault("ORCHESTRATE_SERVER_MINUTES", "0")
# receipts of tests are not signed with anybody's key
os.environ.setdefault("ORCHESTRATE_SIGNING_KEY", f"{_ROOT}/signing-key.pem")
