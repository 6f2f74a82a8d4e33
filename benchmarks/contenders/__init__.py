"""The same five trainings by different hands. Each module has `prepare(work) -> epoch`, and `epoch(order) -> losses`.

`order` [steps, batch] are the rows of each step; `losses` [steps] are those before each update. Calls go on where the last one
stopped. What a contender does once (compiling, a warm-up that changes nothing) it does in `prepare`.
"""
