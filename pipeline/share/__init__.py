"""A run for others: one folder that needs neither the run's store nor its manifest nor this machine.

    model_folder.py  what is in it, written and sent to the Hugging Face hub
    model_card.py    its README.md, from what the run measured
    onnx_head.py     head.onnx, made and held against torch
    onnx_rows.py     the rows that both are asked
    space.py         app.py and requirements.txt: the folder as a demo

`Predictor.from_pretrained` reads it back.
"""
