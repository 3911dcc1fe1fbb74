"""A demo in a browser: a run, or what `erc export` wrote of one, asked by hand. Gradio is an extra (`app`).

turns.py    what is typed, pasted and uploaded -> a talk
answers.py  what is predicted -> tables and curves
page.py     both as a Gradio page; the only file that knows Gradio
"""
