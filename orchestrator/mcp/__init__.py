"""The tools that Orchestrate offers to models over the Model Context Protocol: reading and asking.

None of them approves, moves, holds or edits anything on the board.
"""
