"""``make bench``: what the house costs, each as a ratio to a floor measured in the same run.

A suite has a function ``measure(size)`` that yields measurements. The floor is the least that any
program could do for the same effect (raw SQL, COPY, smtplib) and is stated beside each figure.
"""
