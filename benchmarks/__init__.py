"""What `make bench` runs: figures, each beside a named reference measured in the same run where there is one.

Figures are for people: nothing here fails a build. Ratios are steadier than absolutes, which move by 40 % and more
between machines and hours.
"""
