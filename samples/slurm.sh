#!/bin/sh
# Run the eight parts of a night as an array job of Slurm: sbatch slurm.sh
#SBATCH --job-name=batchfetch
#SBATCH --array=0-7
#SBATCH --cpus-per-task=1
#SBATCH --mem=512M
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@60
# A minute before its time is up a step gets SIGTERM, and stops cleanly with exit code 143.
# The index counts from 0, parts from 1.  The number is written out: a part that is submitted again,
# with --array=2, is still one of eight.
exec srun batchfetch fetch manifest.csv -o images --shard "$((SLURM_ARRAY_TASK_ID + 1))/8" \
    --rate 50/s --max-calls 200000
