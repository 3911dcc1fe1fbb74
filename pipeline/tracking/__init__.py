"""What run folders hold, handed to trackers: TensorBoard, W&B, MLflow.

    choice.py       which trackers there are, what each needs, and the option of the commands
    item.py         what one run of a tracker is: its parameters, curves, numbers and files
    gather.py       a folder of runs as items: seeds, experiments, folds, the whole
    seeds.py, experiments.py, whole.py   what is in each kind
    ledger.py       what was sent, so that nothing is sent twice
    sending.py      items to trackers, one failing without harm to the others or to training
    trainers.py     the same while heads are trained, seed by seed

Trackers are given what the result files say, in the process of the command, and never compute or train.
"""
