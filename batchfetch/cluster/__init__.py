"""
One run over many processes and machines: a driver, leases and workers, on Dask.

The driver is the process of the run.  It reads the manifest and the report, decides what is to be
fetched, and hands it out in chunks; it asks for tokens and writes the report.  A worker is a Dask
worker that runs what a single process runs, over the chunks that it takes.  Between them stands
Dask's scheduler: it passes messages on, and keeps the account of rate and calls from which workers
draw leases.  Needs the extra `dask`.
"""

from batchfetch.cluster.connect import on_cluster

__all__ = ["on_cluster"]
