"""The paper's statements, checked on a law of neurons: as printed, corrected, and sharp.

What a check starts from and returns:

- `check`: :func:`check_theory`, all that is said of one law, in one table.
- `assumptions`: :func:`check_assumptions`, and the parts that single statements need.
- `law`: the moments of a measure or a cloud, and eps_S (Definition 4.1, Eqs. 4 and 8).
- `projection`: eps_S of a cloud, from below.
- `table`: :class:`BoundCheck` and :class:`TheoryTable`, the rows and the table.

Where each statement is:

- `features`: Theorem 4.2 (Eqs. 6, 7, 9, 10, 12) and Corollary 4.4 (Eqs. 16, 17).
- `weights`: Lemma 4.3 (Eqs. 14, 15) and Lemma 4.5 (Eqs. 19, 25, 26).
- `kernel`: Lemma 4.7.
- `energy`: Lemma A.3, Theorem 4.8 (Eq. 22) and Corollary 4.9, at one law.
- `flow`: :func:`check_flow` and :func:`check_sequence`: Lemma 4.6, Theorem 4.8 (Eq. 22) and
  Corollary 4.9, over times and over betas.
- `rate`: :func:`fit_rate`, Theorem 5.3.
- `joint`: :func:`joint_stationary_point` in (rho, W), where Theorem 4.2 and Lemma 4.5 are exact.
"""
