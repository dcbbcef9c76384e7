"""Into a network: how far its gradient reaches back, where it looks, what each sweep sees.

In go a network and inputs, out come numbers and pictures of them. Nothing here knows a task.
"""
