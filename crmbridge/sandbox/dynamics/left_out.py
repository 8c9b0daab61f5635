"""Actions and functions that a real environment has and this sandbox has not: they answer that they are not served.

Any other unknown name is a segment that does not exist (dataverse-api §4.2).
"""

from typing import Final

# As the $metadata of an environment without the Sales app names them, but for those that are served, and for
# SetProcess, which is retired (dataverse-api §8.4).
_PLATFORM: Final = """
    AddAppComponents AddChannelAccessProfilePrivileges AddMembersTeam AddPrincipalToQueue AddPrivilegesRole
    AddRecurrence AddSolutionComponent AddToQueue AddUserToRecordTeam AlmHandler AnalyzeSentiment
    ApplyRecordCreationAndUpdateRule AutoMapEntity BackgroundSendEmail BatchPrediction Book BulkDetectDuplicates
    CalculateRollupField CanBeReferenced CanBeReferencing CanManyToMany CancelTraining CategorizeText
    CheckIncomingEmail CheckPromoteEmail CloneAsPatch CloneAsSolution CloneMobileOfflineProfile
    CommitAnnotationBlocksUpload CommitAttachmentBlocksUpload CommitFileBlocksUpload
    CompoundUpdateDuplicateDetectionRule ConvertOwnerTeamToAccessTeam CopySystemForm
    CreateAsyncJobToRevokeInheritedAccess CreateCustomerRelationships CreateException CreateInstance
    CreateKnowledgeArticleTranslation CreateKnowledgeArticleVersion CreateWorkflowFromTemplate DeleteAndPromote
    DeleteAuditData DeleteFile DeleteOpenInstances DeleteOptionValue DeleteRecordChangeHistory
    DeliverImmediatePromoteEmail DeliverIncomingEmail DeliverPromoteEmail DeprovisionLanguage DetectLanguage
    DownloadBlock DownloadReportDefinition DownloadSolutionExportData ExecuteWorkflow ExpandCalendar
    ExportFieldTranslation ExportMappingsImportMap ExportSolution ExportSolutionAsync ExportTranslation
    ExtractKeyPhrases ExtractTextEntities FetchXmlToQueryExpression FormatAddress FullTextSearchKnowledgeArticle
    GenerateSocialProfile GetAllTimeZonesWithDisplayName GetAutoNumberSeed GetDistinctValuesImportFile
    GetFileSasUrl GetHeaderColumnsImportFile GetJobStatus GetNextAutoNumberValue GetReportHistoryLimit
    GetTimeZoneCodeByLocalizedName GetTrackingTokenEmail GetValidManyToMany GetValidReferencedEntities
    GetValidReferencingEntities ImmediateBook ImportCardTypeSchema ImportFieldTranslation ImportMappingsImportMap
    ImportRecordsImport ImportSolution ImportSolutions ImportTranslation IncrementKnowledgeArticleViewCount
    InitializeAnnotationBlocksDownload InitializeAnnotationBlocksUpload InitializeAttachmentBlocksDownload
    InitializeAttachmentBlocksUpload InitializeFileBlocksDownload InitializeFileBlocksUpload InitializeFrom
    InitializeModernFlowFromAsyncWorkflow InsertOptionValue InsertStatusValue InstallSampleData InstantiateFilters
    InstantiateTemplate IsComponentCustomizable IsDataEncryptionActive IsPaiEnabled IsValidStateTransition
    LocalTimeFromUtcTime OrderOption ParseImport PickFromQueue Predict PredictByReference PredictionSchema
    ProvisionLanguage ProvisionLanguageAsync PublishAIConfiguration PublishAllXml PublishDuplicateRule
    PublishTheme PublishXml QueryExpressionToFetchXml QuerySchedule QueueUpdateRibbonClientMetadata QuickTest
    ReassignObjectsOwner ReassignObjectsSystemUser Recalculate RecognizeText ReleaseToQueue
    RemoveActiveCustomizations RemoveAppComponents RemoveFromQueue RemoveMembersTeam RemoveParent
    RemovePrivilegeRole RemoveSolutionComponent RemoveUserFromRecordTeam ReplacePrivilegesRole Reschedule
    ResetUserFilters RetrieveAbsoluteAndSiteCollectionUrl RetrieveAccessOrigin RetrieveAllChildUsersSystemUser
    RetrieveAllEntities RetrieveAnalyticsStoreDetails RetrieveAppComponents RetrieveAppSetting
    RetrieveAppSettingList RetrieveApplicationRibbon RetrieveAttributeChangeHistory RetrieveAuditDetails
    RetrieveAuditPartitionList RetrieveBusinessHierarchyBusinessUnit RetrieveByTopIncidentSubjectKbArticle
    RetrieveChannelAccessProfilePrivileges RetrieveDataEncryptionKey RetrieveDependenciesForDelete
    RetrieveDependenciesForUninstall RetrieveDependentComponents RetrieveDeploymentLicenseType
    RetrieveDeprovisionedLanguages RetrieveDuplicates RetrieveEntity RetrieveEntityRibbon
    RetrieveExchangeAppointments RetrieveExchangeRate RetrieveFilteredForms RetrieveFormattedImportJobResults
    RetrieveInstalledLanguagePackVersion RetrieveInstalledLanguagePacks RetrieveLicenseInfo RetrieveLocLabels
    RetrieveMailboxTrackingFolders RetrieveMissingComponents RetrieveMissingDependencies RetrieveOrganizationInfo
    RetrieveOrganizationResources RetrieveParsedDataImportFile RetrievePersonalWall RetrievePrincipalAccessInfo
    RetrievePrincipalAttributePrivileges RetrievePrincipalSyncAttributeMappings RetrievePrivilegeSet
    RetrieveProvisionedLanguagePackVersion RetrieveProvisionedLanguages RetrieveRecordChangeHistory
    RetrieveRecordWall RetrieveRequiredComponents RetrieveRolePrivilegesRole RetrieveTeamPrivileges
    RetrieveTimelineWallRecords RetrieveTimestamp RetrieveUnpublished RetrieveUnpublishedMultiple
    RetrieveUserLicenseInfo RetrieveUserPrivilegeByPrivilegeId RetrieveUserPrivilegeByPrivilegeName
    RetrieveUserQueues RetrieveUsersPrivilegesThroughTeams Rollup RouteTo SaveAppSetting SchedulePrediction
    ScheduleRetrain ScheduleTraining Search SearchByBodyKbArticle SearchByKeywordsKbArticle SearchByTitleKbArticle
    SendBulkMail SendEmail SendEmailFromTemplate SendFax SendTemplate SetAutoNumberSeed SetBusinessSystemUser
    SetDataEncryptionKey SetFeatureStatus SetLocLabels SetParentSystemUser SetReportRelated
    StageAndUpgrade SyncBulkOperation Train TransformImport TriggerServiceEndpointCheck UninstallSampleData
    UnpublishAIConfiguration UnpublishDuplicateRule UnschedulePrediction UnscheduleTraining UpdateFeatureConfig
    UpdateOptionValue UpdateRibbonClientMetadata UpdateSolutionComponent UpdateStateValue UploadBlock Validate
    ValidateAIConfiguration ValidateApp ValidateFetchXmlExpression ValidateRecurrenceRule ValidateSavedQuery
    ValidateUnpublished
"""
# Of the Sales and Service apps: Microsoft's reference of the Web API's actions and functions.
_APPS: Final = """
    AddItemCampaign AddListMembersList AddMemberList AddProductToKit CalculateActualValueOpportunity
    CancelContract CancelSalesOrder CloneContract CloneProduct CloseIncident CloseQuote ConvertActivity
    ConvertKitToProduct ConvertProductToKit ConvertQuoteToSalesOrder ConvertSalesOrderToInvoice CopyCampaign
    CopyCampaignResponse CopyDynamicListToStatic CopyMembersList CreateActivitiesList DistributeCampaignActivity
    FindParentResourceGroup FulfillSalesOrder GenerateInvoiceFromOpportunity GenerateQuoteFromOpportunity
    GenerateSalesOrderFromOpportunity GetDefaultPriceLevel GetInvoiceProductsFromOpportunity GetQuantityDecimal
    GetQuoteProductsFromOpportunity GetSalesOrderProductsFromOpportunity LockInvoicePricing LockSalesOrderPricing
    PropagateByExpression PublishProductHierarchy QualifyMemberList RemoveItemCampaign RemoveItemCampaignActivity
    RemoveMemberList RemoveProductFromKit RenewContract RenewEntitlement RetrieveProductProperties RevertProduct
    ReviseQuote UnlockInvoicePricing UnlockSalesOrderPricing UpdateProductProperties WinQuote
"""
_DOCUMENTED_NOWHERE: Final = "RetrieveProcessControlData"  # its answer: dataverse-api §8.3

LEFT_OUT: Final = frozenset(f"{_PLATFORM} {_APPS} {_DOCUMENTED_NOWHERE}".split())
