"""What a person sees: plan, progress, tables and errors. The only room with a console.

Data goes to stdout, messages to stderr; off a terminal there is no colour and no animation.
"""
