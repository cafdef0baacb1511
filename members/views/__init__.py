"""The pages of members: find and list, one member, and the condition builder's partials."""
