"""The paper's statements, checked on a law of neurons: as printed, corrected, and sharp.

- ``assumptions``: :func:`check_assumptions`, and the parts that single statements need.
- ``table``: :class:`BoundCheck` and :class:`TheoryTable`, what a check returns.
- ``law``: the moments of a measure or a cloud, and eps_S (Definition 4.1); ``projection``: that of
  a cloud, from below.
- ``features``: Theorem 4.2, Corollary 4.4. ``weights``: Lemmas 4.3 and 4.5.
- ``kernel``: Lemma 4.7. ``energy``: Lemma A.3, Theorem 4.8 and Corollary 4.9 at one law.
- ``check``: :func:`check_theory`, all of these in one table.
- ``flow``: :func:`check_flow`, :func:`check_sequence`: what is said of times and of betas.
- ``rate``: :func:`fit_rate`, the rate of Theorem 5.3.
- ``joint``: :func:`joint_stationary_point` in (rho, W).
"""
