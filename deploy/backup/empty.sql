-- Removes everything that is in the schema public and was not put there by an extension. The schema itself stays, with its
-- owner and what was granted on it. Part of the transaction that restores: when that fails, nothing was removed.
DO $$
DECLARE
    statement TEXT;
BEGIN
    FOR statement IN
        SELECT format('DROP %s IF EXISTS %s CASCADE', thing.type, thing.identity)
          FROM (SELECT 'pg_class'::regclass AS catalog, oid, relnamespace AS schema FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
                UNION ALL
                SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
                UNION ALL
                SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type WHERE typtype IN ('d', 'e', 'r')) found,
               pg_identify_object(catalog, oid, 0) thing
         WHERE found.schema = 'public'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = catalog AND d.objid = oid AND d.deptype = 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
