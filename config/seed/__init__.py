"""The sample programme: a coffee chain in China with its members, purchases, answers and campaigns.

``people`` and ``behaviour`` draw numbers (numpy, no database); ``load`` writes them with COPY and lets
the rooms' own writers post points, tiers and redemptions; ``desk`` does what people of the desk do in a
day. Everything follows from the seed and the last day, so the same call builds the same programme.
"""
