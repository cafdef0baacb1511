"""The pages of campaigns: lists, the editor, a run, and the public links in messages."""
