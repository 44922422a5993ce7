-- Code of level 1 keeps early cutoffs away from a retry by the lock of the backfill's row, code of level 2 by an advisory lock:
-- beside each other they would not exclude each other.
UPDATE "rederive"."meta" SET "value" = '2' WHERE "key" = 'requires_code';
