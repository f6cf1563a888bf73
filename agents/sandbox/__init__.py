"""A sandbox for seed scripts: they run unchanged against a scratch database and simulated services.

`harness` forks the scripts, `server` is the process that serves them, `client` is what checks use,
`simulators` is the seam for outside services.
"""

#: nothing listens there: a program that does not know where to go reaches nobody
NOWHERE = "http://127.0.0.1:9"
