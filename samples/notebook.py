"""
Look at a report with pandas: what became of the tasks, why, and how long it took.

    python samples/notebook.py images

Each part between `# %%` is a cell in an editor that knows them, or can be pasted into a notebook.
"""

# %%
import sys

import pandas as pd

import batchfetch

output = sys.argv[1] if len(sys.argv) > 1 else "images"
lines = [outcome.model_dump(by_alias=True) for outcome in batchfetch.read_report(output)]
tasks = pd.json_normalize(lines, max_level=1)  # Other columns of the manifest are `extra.NAME`.

# %% What became of them
print(tasks.groupby(["outcome", "reason"], dropna=False).size().rename("tasks").to_string())

# %% How long it took, from the first call to the outcome, in seconds
taken = pd.to_datetime(tasks["finished_at"]) - pd.to_datetime(tasks["first_call_at"])
print(taken.dt.total_seconds().describe(percentiles=[0.5, 0.95]).round(2).to_string())

# %% What it cost, in calls for each image
print(
    f"{tasks['calls'].sum() / max(1, (tasks['outcome'] == 'Completed').sum()):.2f} calls an image"
)
